package smolvmtest

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"runtime"
	"slices"
)

const (
	footerMagic = "SMOLPACK"
	footerSize  = 64
)

// Manifest is the part of an artifact's manifest that the fake reads.
type Manifest struct {
	Mode     string   `json:"mode"`
	Image    string   `json:"image"`
	Platform string   `json:"platform"`
	Env      []string `json:"env"`
	Cmd      []string `json:"cmd"`
	CPUs     int      `json:"cpus"` // 0: 4
	MemMiB   int      `json:"mem"`  // 0: 8192
	Network  bool     `json:"network"`
}

// WriteArtifact writes a .smolmachine file that has a manifest and a footer as the real
// ones, but no image.
func WriteArtifact(path string, manifest Manifest) error {
	manifest.Mode = "container"
	if manifest.Platform == "" {
		manifest.Platform = "linux/" + runtime.GOARCH
	}
	if manifest.CPUs == 0 {
		manifest.CPUs = 4
	}
	if manifest.MemMiB == 0 {
		manifest.MemMiB = 8192
	}
	text, err := json.Marshal(manifest)
	if err != nil {
		return err
	}
	assets := []byte("fake assets of " + manifest.Image + "\n")
	body := slices.Concat(assets, text)
	footer := make([]byte, footerSize)
	copy(footer, footerMagic)
	little := binary.LittleEndian
	little.PutUint32(footer[8:], 1)
	little.PutUint64(footer[28:], uint64(len(assets)))
	little.PutUint64(footer[36:], uint64(len(assets)))
	little.PutUint64(footer[44:], uint64(len(text)))
	little.PutUint32(footer[52:], crc32.ChecksumIEEE(body))
	return os.WriteFile(path, append(body, footer...), 0o600)
}

func readArtifact(path string) (Manifest, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Manifest{}, err
	}
	if len(data) < footerSize {
		return Manifest{}, errors.New("file too small")
	}
	body, footer := data[:len(data)-footerSize], data[len(data)-footerSize:]
	if string(footer[:len(footerMagic)]) != footerMagic {
		return Manifest{}, errors.New("invalid magic")
	}
	little := binary.LittleEndian
	offset, size := little.Uint64(footer[36:]), little.Uint64(footer[44:])
	if offset > uint64(len(body)) || size != uint64(len(body))-offset {
		return Manifest{}, errors.New("manifest out of bounds")
	}
	if crc32.ChecksumIEEE(body) != little.Uint32(footer[52:]) {
		return Manifest{}, errors.New("checksum mismatch")
	}
	var manifest Manifest
	if err := json.Unmarshal(body[offset:], &manifest); err != nil {
		return Manifest{}, fmt.Errorf("manifest: %w", err)
	}
	return manifest, nil
}
