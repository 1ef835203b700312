package app

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"bottle.internal/internal/imagebuild"
	"bottle.internal/internal/imagebuild/layer"
	"bottle.internal/internal/plan"
	"bottle.internal/internal/sbom"
)

// SBOMRequest names one thing: the image of an agent, the bundle's image, or a program.
type SBOMRequest struct {
	Agent   string
	Bundle  bool
	Binary  string
	Carries string // of Binary, in a release: ARCH/NAME.gz below this directory
}

// SBOM returns the SPDX document of what is asked for. An image that is not built yet is
// built, but not packed.
func (a *App) SBOM(ctx context.Context, request SBOMRequest) ([]byte, error) {
	subject, err := a.sbomSubject(ctx, request)
	if err != nil {
		return nil, err
	}
	if subject.Created, err = a.sourceDate(subject.Created); err != nil {
		return nil, err
	}
	subject.Tool = "bottle-" + a.Build().Version
	var out bytes.Buffer
	err = sbom.Write(&out, subject)
	return out.Bytes(), err
}

func (a *App) sbomSubject(ctx context.Context, request SBOMRequest) (sbom.Subject, error) {
	switch {
	case request.Binary != "":
		return binarySubject(request.Binary, request.Carries)
	case request.Bundle:
		job, err := a.job(ctx, bundleRecipe, nil)
		if err != nil {
			return sbom.Subject{}, err
		}
		return imageSubject(ctx, bundleRecipe, job)
	}
	set, err := a.manifest()
	if err != nil {
		return sbom.Subject{}, err
	}
	if _, known := set.Agents[request.Agent]; !known {
		return sbom.Subject{}, unknownAgent(set, request.Agent)
	}
	tools := plan.NeedsOf(set, request.Agent).Tools
	job, err := a.agentJob(ctx, tools)
	if err != nil {
		return sbom.Subject{}, err
	}
	return imageSubject(ctx, imageName(tools), job)
}

func imageSubject(ctx context.Context, name string, job *imagebuild.Job) (sbom.Subject, error) {
	image, err := job.Build(ctx)
	if err != nil {
		return sbom.Subject{}, err
	}
	foreign, err := job.Foreign(ctx)
	if err != nil {
		return sbom.Subject{}, err
	}
	var pinned []sbom.Component
	for _, one := range foreign {
		if one.SHA512 != "" {
			pinned = append(pinned, sbom.NPM(one.Name, one.Version, one.License, one.SHA512))
		} else {
			pinned = append(pinned, sbom.Component{
				Name: one.Name, SHA256: one.SHA256, Purpose: sbom.Application, Source: "program that the operator supplied",
			})
		}
	}
	component, err := sbom.Image("bottle-"+name, image, pinned)
	return sbom.Subject{Component: component, Created: layer.Epoch()}, err
}

// binarySubject reads a Go program of any system.
func binarySubject(path, carries string) (sbom.Subject, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return sbom.Subject{}, err
	}
	component, ok := sbom.Program(filepath.Base(path), content)
	if !ok {
		return sbom.Subject{}, &Problem{Text: fmt.Sprintf("%s is not a Go program, or its build information was stripped", path)}
	}
	revision := sbom.RevisionOf(content)
	if carries != "" {
		carried, err := sbom.Carried(os.DirFS(carries), revision.Arch, content)
		if err != nil {
			return sbom.Subject{}, fmt.Errorf("reading what %s carries: %w", path, err)
		}
		component.Parts = append(component.Parts, carried...)
	}
	created := layer.Epoch()
	if stamp := revision.Time; stamp != "" {
		if created, err = time.Parse(time.RFC3339, stamp); err != nil {
			return sbom.Subject{}, fmt.Errorf("reading the commit's time in %s: %w", path, err)
		}
	}
	return sbom.Subject{Component: component, Created: created}, nil
}

// sourceDate lets SOURCE_DATE_EPOCH decide, as reproducible builds agreed.
func (a *App) sourceDate(own time.Time) (time.Time, error) {
	text := a.config.getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		return own, nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return own, &Problem{Text: "SOURCE_DATE_EPOCH is not a number of seconds", Hints: []string{"export SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)"}}
	}
	return time.Unix(seconds, 0), nil
}
