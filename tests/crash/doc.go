// Package crash kills bottle with SIGKILL after every single effect of a launch and of its
// end, and then looks at what the next command makes of it. Its tests are under the build
// tag integration; they need a container engine, and some a VM.
package crash
