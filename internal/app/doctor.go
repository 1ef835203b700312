package app

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"bottle.internal/internal/host"
)

// hostOptions say where things are on this machine.
func (a *App) hostOptions() host.Options {
	return host.Options{
		Prebuilt:  a.source == "" && a.config.Prebuilt != nil,
		KernelDir: a.kernelDir(), DataDir: a.dirs.cache, LogDir: filepath.Join(a.dirs.state, ".log"),
		Env: a.config.Environ, Events: a.events, Engine: a.engineVersion,
	}
}

// Setup installs what is missing, or says what a person has to do.
func (a *App) Setup(ctx context.Context) error {
	options := a.hostOptions()
	if err := os.MkdirAll(options.LogDir, 0o700); err != nil {
		return err
	}
	_, err := host.Install(ctx, options)
	return err
}

// Report is what this machine has.
type Report struct{ Items []host.Item }

// Text is the report for people.
func (r Report) Text() string {
	var text strings.Builder
	_ = host.WriteTable(&text, r.Items) // a strings.Builder does not fail
	return text.String()
}

// OK reports whether bottles can run here.
func (r Report) OK() bool { return host.AllFine(r.Items) }

// Doctor looks at this machine and changes nothing.
func (a *App) Doctor(ctx context.Context) Report {
	return Report{host.Check(ctx, a.hostOptions())}
}
