package receive

import (
	"archive/tar"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
)

// instructions say what to do beside unpacking, in this order: remove, the archive's
// entries, trust, workdir, the ready file.
type instructions struct {
	entries int           // how many follow in the archive
	remove  []string      // trees
	trust   []certificate // all of ours: others of earlier launches are forgotten
	workdir string        // made for the agent if it does not exist; empty: none
}

// certificate is one that the whole system is to trust.
type certificate struct {
	hash string // OpenSSL's name for its subject
	file string // among the archive's entries
}

func readInstructions(entries *tar.Reader) (instructions, error) {
	header, err := entries.Next()
	if err != nil {
		return instructions{}, whole(err)
	}
	if header.Name != InstructionsName || header.Size > MaxInstructions {
		return instructions{}, fmt.Errorf("the first entry is %.60q with %d bytes, want %s", header.Name, header.Size, InstructionsName)
	}
	text, err := io.ReadAll(entries)
	if err != nil {
		return instructions{}, whole(err)
	}
	return parseInstructions(string(text))
}

// parseInstructions understands all of the text or fails.
func parseInstructions(text string) (instructions, error) {
	var parsed instructions
	for line := range strings.Lines(text) {
		about, ended := strings.CutSuffix(line, "\n")
		word, about, _ := strings.Cut(about, " ")
		var err error
		switch {
		case !ended:
			err = fmt.Errorf("%.60q has no end", line)
		case word == "entries":
			parsed.entries, err = strconv.Atoi(about)
		case word == "remove":
			parsed.remove = append(parsed.remove, about)
			err = checkPath(about)
		case word == "trust":
			hash, file, _ := strings.Cut(about, " ")
			parsed.trust = append(parsed.trust, certificate{hash, file})
			err = checkPath(file)
			if len(hash) != 8 || strings.Trim(hash, "0123456789abcdef") != "" {
				err = fmt.Errorf("hash %.60q: want 8 digits from 0-9a-f", hash)
			}
		case word == "workdir":
			parsed.workdir = about
			err = checkPath(about)
		default:
			err = fmt.Errorf("unknown word %.60q", word)
		}
		if err != nil {
			return instructions{}, err
		}
	}
	return parsed, nil
}

func checkPath(name string) error {
	if !path.IsAbs(name) || path.Clean(name) != name || name == "/" {
		return fmt.Errorf("path %.200q: want an absolute path without dot segments", name)
	}
	return nil
}
