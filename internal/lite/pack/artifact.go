// Package pack makes and reads the artifacts of smolvm-lite: a raw read-only ext4
// image, the manifest as JSON, and a 64-byte footer. A machine boots from the file as
// it is; QEMU and the guest's ext4 ignore what follows the file system.
//
// The same image gives the same bytes.
package pack

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

const (
	// Extension of the artifact beside its stub.
	Extension = ".smolmachine"

	footerSize  = 64
	footerMagic = "SMOLPACK"
	footerVer   = 1
	maxManifest = 4 << 20
	// blockSize aligns the file, so that it is a whole number of disk sectors.
	blockSize = 4096
	// format is what tells our artifacts from smolvm's own.
	format = "ext4-raw"
)

// Manifest has the keys of smolvm's.
type Manifest struct {
	Mode          string   `json:"mode"`
	Image         string   `json:"image"`
	Digest        string   `json:"digest"`
	Platform      string   `json:"platform"`
	Entrypoint    []string `json:"entrypoint"`
	Cmd           []string `json:"cmd"`
	Env           []string `json:"env"`
	Workdir       string   `json:"workdir"`
	CPUs          int      `json:"cpus"`
	Mem           int      `json:"mem"`
	ImageSize     int64    `json:"image_size"`
	Network       bool     `json:"network"`
	GPU           bool     `json:"gpu"`
	HostPlatform  string   `json:"host_platform"`
	Created       string   `json:"created"` // of the image: the time of packing would change the bytes
	SmolvmVersion string   `json:"smolvm_version"`
	Assets        Assets   `json:"assets"`
}

// Assets describes the image part.
type Assets struct {
	Format string `json:"format"`
}

// footer is fixed-size, little endian, and ends the file.
type footer struct {
	Magic          [8]byte
	Version        uint32
	StubSize       uint64
	AssetsOffset   uint64
	AssetsSize     uint64
	ManifestOffset uint64
	ManifestSize   uint64
	CRC            uint32 // of the manifest
	Reserved       [8]byte
}

// appendTrailer writes manifest and footer after an image of size bytes.
func appendTrailer(w io.WriterAt, size int64, manifest Manifest) error {
	data, err := json.Marshal(manifest)
	if err != nil {
		return fmt.Errorf("encoding the manifest: %w", err)
	}
	offset := size
	end := roundUp(offset + int64(len(data)) + footerSize)
	var out bytes.Buffer
	out.Write(data)
	out.Write(make([]byte, end-offset-int64(len(data))-footerSize))
	f := footer{
		Version: footerVer, AssetsSize: uint64(size),
		ManifestOffset: uint64(offset), ManifestSize: uint64(len(data)),
		CRC: crc32.ChecksumIEEE(data),
	}
	copy(f.Magic[:], footerMagic)
	if err := binary.Write(&out, binary.LittleEndian, f); err != nil {
		return fmt.Errorf("encoding the footer: %w", err)
	}
	_, err = w.WriteAt(out.Bytes(), offset)
	return err
}

func roundUp(n int64) int64 { return (n + blockSize - 1) / blockSize * blockSize }

// ReadManifest reads the manifest of the artifact at path and checks that the rest is
// what smolvm-lite can boot.
func ReadManifest(path string) (Manifest, error) {
	file, err := os.Open(path)
	if err != nil {
		return Manifest{}, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return Manifest{}, err
	}
	manifest, err := readManifest(file, info.Size())
	if err != nil {
		return Manifest{}, fmt.Errorf("reading %s: %w", path, err)
	}
	return manifest, nil
}

func readManifest(r io.ReaderAt, size int64) (Manifest, error) {
	var f footer
	if size < footerSize {
		return Manifest{}, errors.New("not a .smolmachine: it is too short")
	}
	err := binary.Read(io.NewSectionReader(r, size-footerSize, footerSize), binary.LittleEndian, &f)
	if err != nil {
		return Manifest{}, err
	}
	switch {
	case string(f.Magic[:]) != footerMagic:
		return Manifest{}, errors.New("not a .smolmachine: the footer is missing")
	case f.Version != footerVer:
		return Manifest{}, fmt.Errorf(".smolmachine version %d is not supported", f.Version)
	case f.ManifestSize > maxManifest || f.ManifestOffset > uint64(size) || f.ManifestSize > uint64(size)-f.ManifestOffset:
		return Manifest{}, errors.New("damaged .smolmachine: the manifest lies outside of the file")
	}
	data := make([]byte, f.ManifestSize)
	if _, err := r.ReadAt(data, int64(f.ManifestOffset)); err != nil {
		return Manifest{}, err
	}
	if crc32.ChecksumIEEE(data) != f.CRC {
		return Manifest{}, errors.New("damaged .smolmachine: the manifest has another checksum")
	}
	var manifest Manifest
	if err := json.Unmarshal(data, &manifest); err != nil {
		return Manifest{}, fmt.Errorf("damaged .smolmachine: %w", err)
	}
	if manifest.Assets.Format != format {
		return Manifest{}, errors.New("the .smolmachine was not made by smolvm-lite: pack the image again")
	}
	return manifest, nil
}
