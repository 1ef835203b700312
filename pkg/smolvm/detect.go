package smolvm

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"bottle.internal/internal/execx"
)

const detectTimeout = 10 * time.Second

// A pre-release counts as its release.
var bannerPattern = regexp.MustCompile(`^(smolvm|smolvm-lite) (\d+\.\d+\.\d+)(?:[-+][0-9A-Za-z.+-]*)?$`)

func versionArgs() invocation { return invocation{args: []string{"--version"}} }

// Detect asks the program at path, or of that name on PATH, what it is. Too old a tool
// is a [*VersionError]. A program that does not exist is [execx.ErrNotFound].
func Detect(ctx context.Context, path string, env []string) (Tool, error) {
	found, err := execx.Find(path)
	if err != nil {
		return Tool{}, fmt.Errorf("looking for the VM tool: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, detectTimeout)
	defer cancel()
	client := New(Config{Tool: Tool{Path: found, Name: NameSmolvm}, Env: env})
	out, err := client.answer(ctx, versionArgs())
	if err != nil {
		return Tool{}, fmt.Errorf("asking %s for its version: %w", found, err)
	}
	tool, err := parseBanner(out)
	if err != nil {
		return Tool{}, fmt.Errorf("asking %s for its version: %w", found, err)
	}
	tool.Path = found
	return tool, checkUsable(tool.Name, tool.Version)
}

// parseBanner reads the first line; later lines are for people.
func parseBanner(out []byte) (Tool, error) {
	line, _, _ := strings.Cut(string(out), "\n")
	parts := bannerPattern.FindStringSubmatch(strings.TrimRight(line, " \r"))
	if parts == nil {
		return Tool{}, fmt.Errorf("%.80q is no version of smolvm", line)
	}
	version, err := ParseVersion(parts[2])
	return Tool{Name: parts[1], Version: version}, err
}
