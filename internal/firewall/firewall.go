// Package firewall is the agent's only way out: the policy of a bottle, its files, and
// the builtin engine that enforces it.
//
// Invariants:
//   - Default deny. What is not declared, not understood or readable in two ways is
//     refused; an empty policy allows nothing; a config that [Render] would not have
//     written stops the program.
//   - [Decide] is the only evaluator. It is pure, and the server asks it.
//   - A name is resolved once, every address of the answer is judged, and one of those
//     very addresses is dialed.
//   - Nothing of a tunnel goes out before its TLS hello named the host of CONNECT.
//   - The log knows no headers, no queries and no user info; text in it is ASCII.
package firewall
