// Package termsafe makes what a guest prints safe for the terminal of a person.
//
// A terminal is a machine that runs what it is sent: it can be told to write the
// clipboard, to answer by typing, to print, to fetch. The filter here passes what
// programs with a screen need (colour, cursor, alternate screen, mouse, paste) and
// nothing else: what it does not know, it drops.
//
// Invariants: what comes out is made of whole sequences from a list, however the input
// was cut; no other introducer comes out, neither as ESC nor as an 8-bit or UTF-8 encoded
// C1 control; memory is bounded whatever does not end; every mode that was switched on
// is switched off again at the end.
package termsafe
