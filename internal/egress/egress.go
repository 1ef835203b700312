// Package egress is the bundle's way to hosts with rules: it ends the agent's TLS with a
// leaf of the bottle's own authority, checks each request, puts the credential in, and
// speaks TLS to the real host.
//
// Invariants:
//   - A request goes to the host of its route alone: the name of the TLS handshake, Host
//     or :authority, and the route are one. What differs is refused, never repaired.
//   - The agent's own credentials are dropped; a route whose token is missing answers 502
//     and sends nothing. A token goes out in the header of its own route and nowhere else,
//     and what comes back is searched for it.
//   - The bytes of a path that were checked are the bytes that are sent. Redirects are
//     passed on, never followed.
//   - Names are resolved by [netguard.Dialer], never by the hosts file, and every address
//     is judged; the upstream's certificate is verified for the route's host.
//   - A configuration takes effect as a whole or not at all, and ends what it no longer
//     allows. The first one that is not understood ends the daemon.
//   - The log has no header values, queries, bodies or tokens; text in it is ASCII.
//
// The token is looked for in the spellings of [needle.Spellings]: a host that sends it
// back in another form (encrypted, compressed by hand, a range at a time) is not caught.
package egress
