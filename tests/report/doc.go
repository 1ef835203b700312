// Package report checks the report of a run in a real browser.
package report
