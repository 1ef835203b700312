//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"bottle.internal/internal/guestapi"
)

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// readEnv reads the environment file. Root may do without one: people look as root into a
// machine whose provisioning failed.
func readEnv(name string, who account) (map[string]string, error) {
	file, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if who.uid == 0 {
			return map[string]string{}, nil
		}
		return nil, fmt.Errorf("reading the environment: %s does not exist: the machine is not provisioned", name)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the environment: %w", err)
	}
	defer file.Close()
	if err := checkPrivate(file); err != nil {
		return nil, fmt.Errorf("reading the environment: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(file, guestapi.MaxEnvSize+1))
	if err == nil && len(data) > guestapi.MaxEnvSize {
		err = fmt.Errorf("%s is larger than %d bytes", name, guestapi.MaxEnvSize)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the environment: %w", err)
	}
	env, err := parseEnv(data)
	if err != nil {
		return nil, fmt.Errorf("reading the environment: %s: %w", name, err)
	}
	return env, nil
}

// checkPrivate demands a regular file that only we can read or change.
func checkPrivate(file *os.File) error {
	var stat unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &stat); err != nil {
		return err
	}
	switch {
	case stat.Mode&unix.S_IFMT != unix.S_IFREG:
		return fmt.Errorf("%s is not a regular file", file.Name())
	case stat.Mode&0o077 != 0:
		return fmt.Errorf("%s has mode %#o, want 0600", file.Name(), stat.Mode&0o777)
	case int(stat.Uid) != os.Geteuid():
		return fmt.Errorf("%s belongs to uid %d, want %d", file.Name(), stat.Uid, os.Geteuid())
	}
	return nil
}

// parseEnv reads one JSON object of strings. Errors never show a value.
func parseEnv(data []byte) (map[string]string, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return nil, errors.New("want a JSON object")
	}
	env := map[string]string{}
	for decoder.More() {
		token, err := decoder.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return nil, errors.New("broken JSON")
		}
		if !guestapi.ValidEnvName(name) {
			return nil, fmt.Errorf("%.60q is no name of a variable", name)
		}
		if _, twice := env[name]; twice {
			return nil, fmt.Errorf("%s is there twice", name)
		}
		token, err = decoder.Token()
		value, ok := token.(string)
		if err != nil || !ok || strings.ContainsRune(value, 0) {
			return nil, fmt.Errorf("the value of %s is not a string without NUL", name)
		}
		env[name] = value
	}
	if _, err := decoder.Token(); err != nil {
		return nil, errors.New("broken JSON")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	return env, nil
}

// environ is the command's whole environment: ours, which is the image's and a TERM
// that the VM tool sets for a terminal; the file's over it; and over both who we are.
func environ(o options, file map[string]string, own []string) []string {
	env := map[string]string{"PATH": defaultPath}
	for _, variable := range own {
		if name, value, ok := strings.Cut(variable, "="); ok {
			env[name] = value
		}
	}
	maps.Copy(env, file)
	if o.term != "" {
		env["TERM"] = o.term
	}
	env["HOME"], env["USER"], env["LOGNAME"] = o.account.home, o.account.name, o.account.name
	env["SHELL"] = "/bin/sh"
	if _, err := os.Stat("/bin/bash"); err == nil {
		env["SHELL"] = "/bin/bash"
	}
	list := make([]string, 0, len(env))
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return list
}
