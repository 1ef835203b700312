// Package sbom says what is inside an image or a program, as an SPDX 2.3 document.
//
// Everything is read from the thing itself: dpkg's records in its layers, the build
// information that the Go linker left in its programs, and the pins of its recipe. What
// none of them says is NOASSERTION. The same thing gives the same bytes: nothing of a
// document comes from the clock, the machine or chance.
package sbom

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"regexp"
	"slices"
	"time"

	"github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/common"
	spdx "github.com/spdx/tools-golang/spdx/v2/v2_3"
)

const unknown = "NOASSERTION"

// namespace is where our documents' names live. Nothing is served there, and SPDX asks
// for no more than that a name is unique: the digest of the subject makes it so.
const namespace = "https://bottle.internal/spdx/"

// Purpose is SPDX's word for what a component is for.
type Purpose string

// The purposes that we tell apart.
const (
	Container   Purpose = "CONTAINER"
	Application Purpose = "APPLICATION"
	Library     Purpose = "LIBRARY"
)

// Component is something that has a name and a version of its own.
type Component struct {
	Name     string
	Version  string
	PURL     string
	Purpose  Purpose
	Supplier string // the organisation that hands it out; empty: unknown
	Source   string // where it was found, and what it was made from
	License  string // an SPDX expression that the component declares; empty: unknown
	SHA256   string // hex; empty: none is known
	SHA512   string
	Parts    []Component
}

// Subject is what a document is about.
type Subject struct {
	Component
	// Created is the document's time: the subject's, never the clock's.
	Created time.Time
	// Tool is the program that made the document: "bottle-1.2.0".
	Tool string
}

// Write writes the document of a subject.
func Write(w io.Writer, subject Subject) error {
	if err := json.Write(document(subject), w, json.Indent("  "), json.EscapeHTML(false)); err != nil {
		return fmt.Errorf("writing the SBOM of %s: %w", subject.Name, err)
	}
	return nil
}

func document(subject Subject) *spdx.Document {
	doc := &builder{packages: map[common.ElementID]*spdx.Package{}, edges: map[edge]bool{}}
	root := doc.add(subject.Component)
	doc.edges[edge{"DOCUMENT", root, common.TypeRelationshipDescribe}] = true
	return &spdx.Document{
		SPDXVersion: spdx.Version, DataLicense: spdx.DataLicense, SPDXIdentifier: "DOCUMENT",
		DocumentName:      subject.Name,
		DocumentNamespace: namespace + plain(subject.Name) + "-" + hash(subject.PURL, subject.SHA256, subject.Created.UTC().String()),
		CreationInfo: &spdx.CreationInfo{
			Creators: []common.Creator{{CreatorType: "Tool", Creator: subject.Tool}},
			Created:  subject.Created.UTC().Format(time.RFC3339),
		},
		Packages: doc.sorted(), Relationships: doc.relationships(),
	}
}

// builder collects packages; a component that is in several others is there once.
type builder struct {
	packages map[common.ElementID]*spdx.Package
	edges    map[edge]bool
}

type edge struct {
	from, to common.ElementID
	kind     string
}

func (b *builder) add(c Component) common.ElementID {
	id := c.id()
	if _, twice := b.packages[id]; !twice {
		b.packages[id] = c.spdx(id)
	}
	for _, part := range c.Parts {
		b.edges[edge{id, b.add(part), common.TypeRelationshipContains}] = true
	}
	return id
}

func (b *builder) sorted() []*spdx.Package {
	var all []*spdx.Package
	for _, one := range b.packages {
		all = append(all, one)
	}
	slices.SortFunc(all, func(x, y *spdx.Package) int {
		return cmp.Compare(x.PackageSPDXIdentifier, y.PackageSPDXIdentifier)
	})
	return all
}

func (b *builder) relationships() []*spdx.Relationship {
	var all []edge
	for one := range b.edges {
		all = append(all, one)
	}
	slices.SortFunc(all, func(x, y edge) int {
		return cmp.Or(cmp.Compare(x.from, y.from), cmp.Compare(x.to, y.to), cmp.Compare(x.kind, y.kind))
	})
	relationships := make([]*spdx.Relationship, 0, len(all))
	for _, one := range all {
		relationships = append(relationships, &spdx.Relationship{
			RefA: common.DocElementID{ElementRefID: one.from}, RefB: common.DocElementID{ElementRefID: one.to}, Relationship: one.kind,
		})
	}
	return relationships
}

var notPlain = regexp.MustCompile(`[^a-zA-Z0-9.]+`)

// plain is text in the letters that identifiers may have.
func plain(text string) string { return notPlain.ReplaceAllString(text, "-") }

func hash(parts ...string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", parts))
	return hex.EncodeToString(sum[:8])
}

// id names a component within its document: readable, and unique by what follows.
func (c Component) id() common.ElementID {
	return common.ElementID("Package-" + plain(c.Name) + "-" + hash(c.PURL, c.Version, c.SHA256))
}

func (c Component) spdx(id common.ElementID) *spdx.Package {
	one := &spdx.Package{
		PackageName: c.Name, PackageSPDXIdentifier: id, PackageVersion: c.Version, PackageDownloadLocation: unknown,
		PackageSourceInfo: c.Source, PackageLicenseConcluded: unknown, PackageLicenseDeclared: cmp.Or(c.License, unknown),
		PackageCopyrightText: unknown, PrimaryPackagePurpose: string(c.Purpose),
		PackageSupplier: &common.Supplier{Supplier: unknown},
	}
	if c.Supplier != "" {
		one.PackageSupplier = &common.Supplier{Supplier: c.Supplier, SupplierType: "Organization"}
	}
	if c.PURL != "" {
		one.PackageExternalReferences = []*spdx.PackageExternalReference{{Category: "PACKAGE-MANAGER", RefType: "purl", Locator: c.PURL}}
	}
	for algorithm, value := range map[common.ChecksumAlgorithm]string{common.SHA256: c.SHA256, common.SHA512: c.SHA512} {
		if value != "" {
			one.PackageChecksums = append(one.PackageChecksums, common.Checksum{Algorithm: algorithm, Value: value})
		}
	}
	slices.SortFunc(one.PackageChecksums, func(x, y common.Checksum) int { return cmp.Compare(x.Algorithm, y.Algorithm) })
	return one
}
