package app

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"bottle.internal/internal/doctor"
)

// hostOptions say where things are on this machine.
func (a *App) hostOptions() doctor.Options {
	return doctor.Options{
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
	_, err := doctor.Install(ctx, options)
	return err
}

// Report is what this machine has.
type Report struct{ Items []doctor.Item }

// Text is the report for people.
func (r Report) Text() string {
	var text strings.Builder
	_ = doctor.WriteTable(&text, r.Items) // a strings.Builder does not fail
	return text.String()
}

// OK reports whether bottles can run here.
func (r Report) OK() bool { return doctor.AllFine(r.Items) }

// Doctor looks at this machine and changes nothing.
func (a *App) Doctor(ctx context.Context) Report {
	return Report{doctor.Check(ctx, a.hostOptions())}
}
