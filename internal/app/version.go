package app

import (
	"context"
	"runtime"
	"runtime/debug"
)

// Build says which bottle this is. Go's linker knows it: nothing has to be passed on a
// command line, and nothing can be forgotten.
type Build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Date     string `json:"date,omitempty"` // of the commit
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// Build describes this program.
func (a *App) Build() Build {
	build := Build{Version: "(devel)", Go: runtime.Version(), Platform: a.config.OS + "/" + a.config.Arch}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return build
	}
	if info.Main.Version != "" {
		build.Version = info.Main.Version
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			build.Commit = setting.Value
		case "vcs.time":
			build.Date = setting.Value
		case "vcs.modified":
			build.Modified = setting.Value == "true"
		}
	}
	return build
}

// Version says what runs.
type Version struct {
	Bottle string `json:"bottle"`
	Build  Build  `json:"build"`
	VMTool string `json:"vm_tool"`
}

// Version names this program and the VM tool that it would use.
func (a *App) Version(ctx context.Context) Version {
	build := a.Build()
	version := Version{Bottle: build.Version, Build: build}
	client, err := a.vmTool(ctx)
	if err != nil {
		version.VMTool = "no VM tool: " + err.Error()
		return version
	}
	tool := client.Tool()
	version.VMTool = tool.Name + " " + tool.Version.String() + " (" + tool.Path + ")"
	return version
}
