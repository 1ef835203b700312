package bundle

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
)

func (f *fakeEngine) ContainerCreate(ctx context.Context, o client.ContainerCreateOptions) (r client.ContainerCreateResult, err error) {
	err = f.call(ctx, "create "+o.Name, func() error {
		if o.Config.Image == "missing" {
			return errdefs.ErrNotFound.WithMessage("No such image: missing")
		}
		for _, c := range f.containers {
			if c.options.Name == o.Name {
				return errdefs.ErrConflict.WithMessage("Conflict. The container name is in use")
			}
		}
		if _, ok := f.networks[string(o.HostConfig.NetworkMode)]; !ok {
			f.t.Errorf("%s is created before its network", o.Name)
		}
		r.ID = f.newID("con")
		f.created = append(f.created, o)
		f.containers[r.ID] = &fakeContainer{options: o}
		for _, mount := range o.HostConfig.Mounts {
			f.volumes[mount.Source] = mount.VolumeOptions.Labels
		}
		return nil
	})
	return r, err
}

func (f *fakeEngine) ContainerAttach(ctx context.Context, id string, o client.ContainerAttachOptions) (r client.ContainerAttachResult, err error) {
	var ours, theirs net.Conn
	listener, lerr := net.Listen("tcp4", "127.0.0.1:0")
	if lerr != nil {
		f.t.Fatal(lerr)
	}
	defer listener.Close()
	err = f.call(ctx, "attach "+f.name(id), func() error {
		c := f.containers[id]
		if c.running {
			f.t.Errorf("attached to %s after its start", id)
		}
		if !o.Stream || !o.Stdin || !o.Stdout || !o.Stderr {
			f.t.Errorf("attached with %+v", o)
		}
		ours, lerr = net.Dial("tcp4", listener.Addr().String())
		if lerr != nil {
			f.t.Fatal(lerr)
		}
		theirs, _ = listener.Accept()
		c.streams = theirs
		r.HijackedResponse = client.NewHijackedResponse(ours, "application/vnd.docker.multiplexed-stream")
		return nil
	})
	if err != nil && ours != nil {
		_, _ = ours.Close(), theirs.Close()
	}
	return r, err
}

func (f *fakeEngine) ContainerStart(ctx context.Context, id string, _ client.ContainerStartOptions) (r client.ContainerStartResult, err error) {
	return r, f.call(ctx, "start "+f.name(id), func() error {
		c := f.containers[id]
		if c.streams == nil {
			f.t.Errorf("%s is started before it is attached", id)
			return nil
		}
		c.running = !f.dies || strings.HasSuffix(c.options.Name, "-echo")
		f.next++
		c.port = fmt.Sprint(40000 + f.next)
		command, streams := c.options.Config.Cmd[0], c.streams
		f.serving.Go(func() { play(command, streams) })
		return nil
	})
}

// play is the program in the container.
func play(command string, streams net.Conn) {
	say := func(stream byte, text string) {
		header := binary.BigEndian.AppendUint32([]byte{stream, 0, 0, 0}, uint32(len(text)))
		_, _ = streams.Write(append(header, text...))
	}
	if command == "echo" {
		stdin, _ := io.ReadAll(streams)
		say(1, "{\"event\":\"ready\"}\n")
		say(1, fmt.Sprintf("got %q\n", stdin))
		return
	}
	say(2, "init| up\n")
	buffer := make([]byte, 1024)
	for {
		n, err := streams.Read(buffer)
		if err != nil {
			return
		}
		say(1, "echo of "+string(buffer[:n]))
	}
}

func (f *fakeEngine) ContainerInspect(ctx context.Context, id string, _ client.ContainerInspectOptions) (r client.ContainerInspectResult, err error) {
	err = f.call(ctx, "inspect "+f.name(id), func() error {
		c, ok := f.containers[id]
		if !ok {
			return errdefs.ErrNotFound
		}
		r.Container.State = &container.State{Running: c.running, ExitCode: 3}
		r.Container.NetworkSettings = &container.NetworkSettings{}
		if c.running {
			r.Container.NetworkSettings.Ports = network.PortMap{}
			for port := range c.options.HostConfig.PortBindings {
				r.Container.NetworkSettings.Ports[port] = []network.PortBinding{{HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: c.port}}
			}
		}
		return nil
	})
	return r, err
}

func (f *fakeEngine) ContainerList(ctx context.Context, o client.ContainerListOptions) (r client.ContainerListResult, err error) {
	err = f.call(ctx, "list", func() error {
		if !o.All {
			f.t.Error("only running containers are listed")
		}
		for id, c := range f.containers {
			if matches(o.Filters, c.options.Name, c.options.Config.Labels) {
				state := container.StateExited
				if c.running {
					state = container.StateRunning
				}
				r.Items = append(r.Items, container.Summary{ID: id, Names: []string{"/" + c.options.Name}, Labels: c.options.Config.Labels, State: state})
			}
		}
		return nil
	})
	return r, err
}

func (f *fakeEngine) ContainerStop(ctx context.Context, id string, o client.ContainerStopOptions) (r client.ContainerStopResult, err error) {
	return r, f.call(ctx, "stop "+f.name(id), func() error {
		c, ok := f.containers[id]
		if !ok {
			return errdefs.ErrNotFound
		}
		if o.Timeout == nil || *o.Timeout != 2 {
			f.t.Errorf("stopped with a grace of %v", o.Timeout)
		}
		f.end(c)
		return nil
	})
}

func (f *fakeEngine) ContainerRemove(ctx context.Context, id string, o client.ContainerRemoveOptions) (r client.ContainerRemoveResult, err error) {
	return r, f.call(ctx, "remove "+f.name(id), func() error {
		c, ok := f.containers[id]
		if !ok {
			return errdefs.ErrNotFound
		}
		if c.running && !o.Force {
			f.t.Errorf("%s is removed while it runs, without force", id)
		}
		f.end(c)
		delete(f.containers, id)
		return nil
	})
}

func (f *fakeEngine) end(c *fakeContainer) {
	c.running = false
	if c.streams != nil {
		_ = c.streams.Close()
		c.streams = nil // an attachment serves one run
	}
}

func (f *fakeEngine) ExecCreate(ctx context.Context, id string, o client.ExecCreateOptions) (r client.ExecCreateResult, err error) {
	err = f.call(ctx, "exec "+strings.Join(o.Cmd, " "), func() error {
		if c := f.containers[id]; c == nil || !c.running {
			return errdefs.ErrConflict.WithMessage("container is not running")
		}
		r.ID = f.newID("exec")
		f.execs[r.ID] = o.Cmd
		return nil
	})
	return r, err
}

func (f *fakeEngine) ExecAttach(_ context.Context, id string, _ client.ExecAttachOptions) (r client.ExecAttachResult, err error) {
	near, far := net.Pipe()
	r.HijackedResponse = client.NewHijackedResponse(near, "")
	text := "ok 10.1.2.3:443\n"
	if slices.Contains(f.execs[id], "dead.test:443") {
		text = "refused 10.1.2.3:443: connection refused\n"
	}
	f.serving.Go(func() {
		header := binary.BigEndian.AppendUint32([]byte{1, 0, 0, 0}, uint32(len(text)))
		_, _ = far.Write(append(header, text...))
		_ = far.Close()
	})
	return r, nil
}

func (f *fakeEngine) ExecInspect(_ context.Context, id string, _ client.ExecInspectOptions) (r client.ExecInspectResult, err error) {
	switch cmd := f.execs[id]; {
	case slices.Contains(cmd, "dead.test:443"):
		r.ExitCode = 1
	case slices.Contains(cmd, "nonsense"):
		r.ExitCode = 2
	}
	return r, nil
}
