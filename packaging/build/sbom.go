package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"
)

// The parts of a CycloneDX 1.5 document that are used here.
type bill struct {
	BOMFormat    string       `json:"bomFormat"`
	SpecVersion  string       `json:"specVersion"`
	SerialNumber string       `json:"serialNumber"`
	Version      int          `json:"version"`
	Metadata     billMetadata `json:"metadata"`
	Components   []component  `json:"components"`
	Dependencies []dependency `json:"dependencies"`
}

type billMetadata struct {
	Timestamp string    `json:"timestamp"`
	Component component `json:"component"`
}

type component struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref"`
	Name       string     `json:"name"`
	Version    string     `json:"version"`
	PURL       string     `json:"purl"`
	Properties []property `json:"properties,omitempty"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type dependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn,omitempty"`
}

// bill lists what a package's programs are made of, as the programs say it
// themselves: the modules that are linked into any of them, and Go's library.
func (b *builder) bill(p pkg, arch, bin string) ([]byte, error) {
	parts := map[string]component{}
	for _, program := range p.programs {
		info, err := buildinfo.ReadFile(filepath.Join(bin, program))
		if err != nil {
			return nil, err
		}
		add := func(name, version, sum string) {
			c := component{Type: "library", Name: name, Version: version, PURL: "pkg:golang/" + name + "@" + version}
			c.Ref = c.PURL
			if sum != "" {
				c.Properties = []property{{"go:sum", sum}}
			}
			parts[c.Ref] = c
		}
		add("std", info.GoVersion, "")
		for _, m := range info.Deps {
			for m.Replace != nil {
				m = m.Replace
			}
			add(m.Path, m.Version, m.Sum)
		}
	}
	self := component{
		Type: "application", Name: p.name, Version: b.version,
		PURL: fmt.Sprintf("pkg:deb/%s@%s?arch=%s", p.name, b.version, arch),
	}
	self.Ref = self.PURL
	doc := bill{
		BOMFormat: "CycloneDX", SpecVersion: "1.5", Version: 1,
		Metadata:     billMetadata{Timestamp: b.epoch.Format(time.RFC3339), Component: self},
		Dependencies: []dependency{{Ref: self.Ref, DependsOn: slices.Sorted(maps.Keys(parts))}},
	}
	for _, ref := range slices.Sorted(maps.Keys(parts)) {
		doc.Components = append(doc.Components, parts[ref])
		doc.Dependencies = append(doc.Dependencies, dependency{Ref: ref})
	}
	// Of the content, so that the same content has the same number.
	plain, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(plain)
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80
	doc.SerialNumber = fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
	out, err := json.MarshalIndent(doc, "", "  ")
	return append(out, '\n'), err
}
