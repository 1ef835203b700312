// Command probe is the stranger and the upstream of the integration tests. It runs in
// the guest, in a container beside the bundle, and on the host as another user; it
// prints one line for each thing that it tried.
package main

import (
	"fmt"
	"os"
	"strings"
)

const usage = `usage: probe COMMAND

  serve NAME...                     be the upstream with these TLS names
  counts                            print what the upstream of this container has seen
  dial ADDRESS...                   connect, say something, print how many bytes came back
  lookup NAME...                    ask the resolver
  connect PROXY TARGET...           print the proxy's answer to CONNECT, byte for byte as given
  plain PROXY URL...                print the proxy's answer to GET
  tls PROXY TARGET NAME             open a tunnel and speak TLS with another name
  down URL SIZE                     fetch SIZE bytes through HTTP_PROXY and check them
  duplex PROXY TARGET UP DOWN       send, half-close, receive; check both ways
  hash SIZE                         print what the upstream says of SIZE good bytes
  parallel PROXY TARGET COUNT SIZE  many tunnels that are open at the same time
  watch PROXY TARGET SECONDS        try again and again; print every change
  attack                            try a list of attacks from stdin; print what became of each
  wiretap MARK...                   print each mark that a packet of this network has
  listen PORT TEXT                  answer with a text on all addresses
  bomb KIND SECONDS                 take all processes, memory or disk that there are: fork, memory, disk
  hold ADDRESS COUNT SECONDS        keep connections that say nothing; print how many there were
`

func main() {
	if len(os.Args) < 2 {
		fail(usage)
	}
	args := os.Args[2:]
	commands := map[string]func([]string) error{
		"serve": serve, "counts": counts, "dial": dial, "lookup": lookup, "connect": connect,
		"plain": plain, "tls": otherName, "down": down, "duplex": duplex, "hash": hash, "parallel": parallel, "watch": watch,
		"attack": attack, "wiretap": wiretap, "listen": listen, "bomb": bomb, "hold": hold,
	}
	command, ok := commands[os.Args[1]]
	if !ok {
		fail(usage)
	}
	if err := command(args); err != nil {
		fail(os.Args[1] + ": " + err.Error())
	}
}

func fail(text string) {
	fmt.Fprintln(os.Stderr, strings.TrimRight(text, "\n"))
	os.Exit(1)
}
