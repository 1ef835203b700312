// Package firewall is the agent's only way out: the policy of a bottle, its files, and
// the builtin engine that enforces it.
//
// Invariants:
//   - Default deny. What is not declared, not understood or readable in two ways is
//     refused; an empty policy allows nothing; a config that [Render] would not have
//     written stops the program.
//   - [Decide] is the only evaluator. It is pure, and the server asks it.
//   - A plain host is resolved once, every address of the answer is judged, and one of
//     those very addresses is dialed. A routed host goes to egress and is never resolved.
//   - Nothing of a tunnel goes out before its TLS hello named the host of CONNECT, nothing
//     behind the hello before the upstream answered it, and a second hello that it asks
//     for must name the same host.
//   - A byte is counted before it goes out; what does not fit the budget stays.
//   - The log knows no headers, no queries, no user info and no secret that gitleaks
//     knows; text in it is ASCII.
package firewall
