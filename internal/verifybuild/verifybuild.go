// Package verifybuild compares what was built with what is built again.
//
// Invariants: bytes are hashed, and no record of them is believed; where two things differ
// that have parts, the first part that differs is named, down to the file.
package verifybuild

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Row is one thing that was made twice.
type Row struct {
	What     string `json:"what"`
	Recorded string `json:"recorded"` // digest
	Rebuilt  string `json:"rebuilt"`
	First    string `json:"first,omitempty"` // the first thing in it that differs
}

// Same reports whether both have the same bytes.
func (r Row) Same() bool { return r.Recorded == r.Rebuilt && r.Recorded != "" }

// First is the first row that differs.
func First(rows []Row) (Row, bool) {
	for _, row := range rows {
		if !row.Same() {
			return row, true
		}
	}
	return Row{}, false
}

// Table is the rows for people.
func Table(rows []Row) string {
	var out strings.Builder
	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "what\trecorded\trebuilt\tsame")
	for _, row := range rows {
		same := "yes"
		if !row.Same() {
			same = strings.TrimSuffix("NO: "+row.First, ": ")
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", row.What, short(row.Recorded), short(row.Rebuilt), same)
	}
	_ = table.Flush() // a strings.Builder does not fail
	return out.String()
}

func short(digest string) string {
	return fmt.Sprintf("%.16s", cmp.Or(strings.TrimPrefix(digest, "sha256:"), "-"))
}

// Files compares two programs.
func Files(what, recorded, rebuilt string) (Row, error) {
	was, err := os.ReadFile(recorded)
	if err != nil {
		return Row{}, fmt.Errorf("reading %s: %w", what, err)
	}
	now, err := os.ReadFile(rebuilt)
	if err != nil {
		return Row{}, fmt.Errorf("reading %s again: %w", what, err)
	}
	row := Row{What: what, Recorded: sum(was), Rebuilt: sum(now)}
	if !row.Same() {
		row.First = fmt.Sprintf("%d and %d bytes, alike up to byte %d", len(was), len(now), common(was, now))
	}
	return row, nil
}

func sum(content []byte) string {
	digest := sha256.Sum256(content)
	return hex.EncodeToString(digest[:])
}

// common is the length of what both begin with.
func common(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// Images compares two images: their layers in order, the config, and the whole.
func Images(name string, recorded, rebuilt v1.Image) ([]Row, error) {
	was, err := partsOf(recorded)
	if err != nil {
		return nil, fmt.Errorf("reading the image %s: %w", name, err)
	}
	now, err := partsOf(rebuilt)
	if err != nil {
		return nil, fmt.Errorf("reading the image %s again: %w", name, err)
	}
	var rows []Row
	for i := range max(len(was.layers), len(now.layers)) {
		row, err := layers(was.at(i), now.at(i))
		if err != nil {
			return nil, fmt.Errorf("comparing layer %d of the image %s: %w", i+1, name, err)
		}
		row.What = name + ": " + row.What
		rows = append(rows, row)
	}
	config := Row{What: name + ": config", Recorded: sum(was.config), Rebuilt: sum(now.config)}
	if !config.Same() {
		config.First = fmt.Sprintf("alike up to byte %d", common(was.config, now.config))
	}
	return append(rows, config, Row{What: name + ": image", Recorded: sum(was.manifest), Rebuilt: sum(now.manifest)}), nil
}

type parts struct {
	manifest, config []byte
	layers           []v1.Layer
	names            []string
}

func partsOf(image v1.Image) (parts, error) {
	var p parts
	var err error
	if p.manifest, err = image.RawManifest(); err != nil {
		return p, err
	}
	if p.config, err = image.RawConfigFile(); err != nil {
		return p, err
	}
	if p.layers, err = image.Layers(); err != nil {
		return p, err
	}
	config, err := v1.ParseConfigFile(bytes.NewReader(p.config))
	if err != nil {
		return p, err
	}
	for _, one := range config.History {
		p.names = append(p.names, strings.TrimPrefix(one.CreatedBy, "bottle "))
	}
	return p, nil
}

// part is a layer with its name; the layer is nil where one image has fewer.
type part struct {
	layer v1.Layer
	name  string
}

func (p parts) at(i int) part {
	if i >= len(p.layers) {
		return part{}
	}
	if i >= len(p.names) {
		return part{p.layers[i], fmt.Sprintf("layer %d", i+1)}
	}
	return part{p.layers[i], "layer " + p.names[i]}
}

func layers(was, now part) (Row, error) {
	row := Row{What: cmp.Or(was.name, now.name)}
	var err error
	if row.Recorded, err = was.digest(); err != nil {
		return row, err
	}
	if row.Rebuilt, err = now.digest(); err != nil || row.Same() {
		return row, err
	}
	switch {
	case was.layer == nil:
		row.First = "there was no such layer"
	case now.layer == nil:
		row.First = "there is no such layer any more"
	default:
		if row.First, err = firstFile(was.layer, now.layer); err != nil { // it differs, whatever is in it
			row.First = "it cannot be read: " + err.Error()
		}
	}
	return row, nil
}

// digest hashes the bytes of a layer.
func (p part) digest() (string, error) {
	if p.layer == nil {
		return "", nil
	}
	content, err := p.layer.Compressed()
	if err != nil {
		return "", err
	}
	defer func() { _ = content.Close() }()
	hash := sha256.New()
	if _, err := io.Copy(hash, content); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
