package receive

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"bottle.internal/internal/guestapi"
)

const (
	caDir    = "/usr/local/share/ca-certificates"
	trustDir = "/etc/ssl/certs"
	// ours is how files of our certificates are called.
	ours = "bottle-*.crt"
)

// trust does for our few certificates what update-ca-certificates would, with the same
// result: that program starts a thousand processes, which takes minutes in an emulated
// machine. It forgets those of earlier launches, and checks what the bundle has then.
func (p Place) trust(certificates []certificate) error {
	known, err := filepath.Glob(filepath.Join(p.path(caDir), ours))
	if err != nil {
		return err
	}
	for _, file := range known {
		name := path.Join(caDir, filepath.Base(file))
		if slices.ContainsFunc(certificates, func(c certificate) bool { return c.file == name }) {
			continue
		}
		if err := p.forget(name); err != nil {
			return err
		}
	}
	for _, c := range certificates {
		if err := p.add(c); err != nil {
			return err
		}
	}
	return nil
}

// forget takes a certificate out of the bundle, its links, and at last its file: what
// fails half-way is tried again the next time.
func (p Place) forget(name string) error {
	text, bundle, err := p.read(name)
	if err != nil {
		return err
	}
	if bytes.Contains(bundle, text) {
		if err := replaceFile(p.path(guestapi.CABundle), bytes.ReplaceAll(bundle, text, nil)); err != nil {
			return err
		}
		if _, bundle, err = p.read(name); err != nil {
			return err
		}
		if bytes.Contains(bundle, bytes.TrimSpace(text)) {
			return fmt.Errorf("%s did not get out of %s", name, guestapi.CABundle)
		}
	}
	links, err := os.ReadDir(p.path(trustDir))
	if err != nil {
		return err
	}
	pem := pemName(name)
	for _, link := range links {
		full := filepath.Join(p.path(trustDir), link.Name())
		if target, err := os.Readlink(full); link.Name() == pem || err == nil && target == pem {
			if err := os.Remove(full); err != nil {
				return err
			}
		}
	}
	return os.Remove(p.path(name))
}

// add makes the system trust a certificate: the bundle for most programs, the links for
// those that look up a subject in the directory.
func (p Place) add(c certificate) error {
	text, bundle, err := p.read(c.file)
	if err != nil {
		return err
	}
	if !bytes.Contains(bundle, text) {
		if len(bundle) > 0 && bundle[len(bundle)-1] != '\n' {
			text = append([]byte{'\n'}, text...)
		}
		if err := appendTo(p.path(guestapi.CABundle), text); err != nil {
			return err
		}
		if text, bundle, err = p.read(c.file); err != nil {
			return err
		}
		if !bytes.Contains(bundle, text) {
			return fmt.Errorf("%s did not get into %s", c.file, guestapi.CABundle)
		}
	}
	pem := pemName(c.file)
	if err := p.link(pem, c.file); err != nil {
		return err
	}
	return p.link(p.freeLink(c.hash, pem), pem)
}

// read returns a certificate's text and the bundle.
func (p Place) read(name string) (text, bundle []byte, err error) {
	if text, err = os.ReadFile(p.path(name)); err != nil {
		return nil, nil, err
	}
	if !bytes.HasPrefix(text, []byte("-----BEGIN")) {
		return nil, nil, fmt.Errorf("%s is no certificate", name)
	}
	bundle, err = os.ReadFile(p.path(guestapi.CABundle))
	return text, bundle, err
}

func pemName(file string) string {
	return strings.TrimSuffix(path.Base(file), path.Ext(file)) + ".pem"
}

// link makes a link in the trust store, in place of what has its name.
func (p Place) link(name, target string) error {
	full := filepath.Join(p.path(trustDir), name)
	if err := os.Remove(full); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Symlink(target, full)
}

// freeLink is the first of hash.0, hash.1, ... that leads nowhere or to us already.
// OpenSSL stops at the first one that it cannot open.
func (p Place) freeLink(hash, pem string) string {
	for n := 0; ; n++ {
		name := hash + "." + strconv.Itoa(n)
		target, err := os.Readlink(filepath.Join(p.path(trustDir), name))
		if err == nil && target == pem || !p.leads(path.Join(trustDir, name)) {
			return name
		}
	}
}

// leads follows links as programs in the guest do: an absolute one begins at its root.
func (p Place) leads(name string) bool {
	for range 8 {
		target, err := os.Readlink(p.path(name))
		if err != nil {
			break
		}
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(name), target)
		}
		name = target
	}
	_, err := os.Lstat(p.path(name))
	return err == nil
}

func appendTo(name string, text []byte) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Close())
}

// replaceFile never leaves half a bundle behind.
func replaceFile(name string, text []byte) error {
	temp := name + ".bottle"
	if err := os.WriteFile(temp, text, 0o644); err != nil {
		return err
	}
	return os.Rename(temp, name)
}
