package smolvm

import (
	"maps"
	"slices"
	"strings"
)

// Environ makes the environment of the tool's calls: from base only what the tool needs
// to find its files and speak to the user, then set on top. Everything else stays out,
// above all proxies (they would flow into the guest), DOCKER_CONFIG, tokens, and the
// SMOLVM_ variables that add disks, open networks or tie a machine's life to ours. The
// VMM's own confinement is always enforced. The result is sorted.
func Environ(base []string, set map[string]string) []string {
	environ := map[string]string{}
	for _, entry := range base {
		if key, value, ok := strings.Cut(entry, "="); ok && inherited(key) {
			environ[key] = value
		}
	}
	maps.Copy(environ, set)
	environ["SMOLVM_SECCOMP"] = "enforce"
	environ["SMOLVM_LANDLOCK"] = "enforce"
	list := make([]string, 0, len(environ))
	for _, key := range slices.Sorted(maps.Keys(environ)) {
		list = append(list, key+"="+environ[key])
	}
	return list
}

func inherited(key string) bool {
	switch key {
	case "HOME", "PATH", "USER", "LOGNAME", "SHELL", "TMPDIR", "TZ",
		"LANG", "LANGUAGE", "TERM", "COLORTERM", "NO_COLOR",
		"XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME",
		"SMOLVM_AGENT_ROOTFS", "SMOLVM_LIB_DIR", "SMOLVM_CONFIG", "SMOLVM_DATA_DIR",
		"SMOLVM_PACK_STAGING", "SMOLVM_AGENT_READY_TIMEOUT_SECS", "SMOLVM_KRUN_LOG_LEVEL",
		"SMOLVM_FILE_TRANSFER_MAX_BYTES", "SMOLVM_PACK_MAX_EXTRACT_BYTES",
		"RUST_LOG", "GOCOVERDIR":
		return true
	}
	return strings.HasPrefix(key, "LC_") || strings.HasPrefix(key, "SMOLVM_LITE_")
}
