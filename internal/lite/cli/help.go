//go:build linux

package cli

const help = `smolvm-lite: a stand-in for the smolvm command line, over QEMU

Usage: smolvm-lite <COMMAND>

Commands:
  machine  Create, start and use machines [alias: vm]
  pack     Make a .smolmachine from an image of a registry on this machine

Options:
  -V, --version  Print the version and the accelerator
  -h, --help     Print this help

There is no network device in any machine. The software accelerator (tcg) shows
behaviour and the network contract, not isolation strength.
`

const machineHelp = `Create, start and use machines

Usage: smolvm-lite machine <COMMAND>

Commands:
  create  Create a machine from a .smolmachine or a 'docker save' archive
  start   Start a machine
  stop    Stop a machine
  delete  Delete a machine [alias: rm]
  status  Show one machine
  ls      List machines [alias: list]
  exec    Run a command in a machine
  shell   Run /bin/sh in a machine [alias: sh]
  cp      Copy a file into or out of a machine
  data-dir  Print where a machine's disks are
`

const packHelp = `Make a .smolmachine

Usage: smolvm-lite pack <COMMAND>

Commands:
  create  Pull an image from a registry on this machine and pack it
`

const createHelp = `Create a machine

Usage: smolvm-lite machine create [OPTIONS] (--from <PATH> | --image <ARCHIVE>)

Options:
  -n, --name <NAME>                Name, generated when missing
      --from <PATH>                A .smolmachine made by smolvm-lite
  -I, --image <ARCHIVE>            A 'docker save' archive
      --cpus <N>                   Virtual processors [default: 4]
      --mem <MIB>                  Memory [default: 8192]
      --storage <GIB>              Accepted and shown; the overlay is the only disk
      --overlay <GIB>              Size of the writable disk [default: 10]
  -e, --env <KEY=VALUE>            Environment of the workload and of exec
  -w, --workdir <DIR>              Working directory (not with --from)
      --mount-socket <HOST:GUEST>  Offer a unix socket of the host in the machine
      --label <KEY=VALUE>          Shown in the JSON
`

const startHelp = `Start a machine

Usage: smolvm-lite machine start [--name <NAME>]
`

const stopHelp = `Stop a machine

Usage: smolvm-lite machine stop [--name <NAME>]
`

const deleteHelp = `Delete a machine

Usage: smolvm-lite machine delete --name <NAME> [--force]
`

const statusHelp = `Show one machine

Usage: smolvm-lite machine status [--name <NAME>] [--json]
`

const dataDirHelp = `Print where a machine's disks are

Usage: smolvm-lite machine data-dir --name <NAME>
`

const listHelp = `List machines

Usage: smolvm-lite machine ls [--json] [--verbose]
`

const execHelp = `Run a command in a machine

Usage: smolvm-lite machine exec [OPTIONS] --name <NAME> -- <COMMAND>...

Options:
      --name <NAME>         The machine
  -w, --workdir <DIR>       Working directory
  -e, --env <KEY=VALUE>     Environment
      --timeout <DURATION>  Kill the command after that time; the exit code is 124
  -i, --interactive         Forward stdin
  -t, --tty                 Give the command a terminal
      --stream              Print the output as it comes
`

const shellHelp = `Run /bin/sh in a machine

Usage: smolvm-lite machine shell [--name <NAME>]
`

const cpHelp = `Copy one regular file into or out of a running machine

Usage: smolvm-lite machine cp [OPTIONS] <SRC> <DST>

One of SRC and DST is NAME:/absolute/path.

Options (into the machine only):
      --mode <OCTAL>  [default: 644]
      --uid <N>       [default: 0]
      --gid <N>       [default: 0]
`

const packCreateHelp = `Pull an image from a registry on this machine and pack it

Usage: smolvm-lite pack create [OPTIONS] --image <REF> --output <PATH>

Options:
  -I, --image <REF>             Image on a loopback registry
  -o, --output <PATH>           Writes PATH and PATH.smolmachine
      --oci-platform <OS/ARCH>  [default: the host's]
      --cpus <N>                [default: 4]
      --mem <MIB>               [default: 8192]
      --entrypoint <CMD>        Replaces the image's entrypoint
      --staging-dir <DIR>       Where the layers are unpacked
`
