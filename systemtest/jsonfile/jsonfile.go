// Package jsonfile keeps what the programs that prove the whole came to.
package jsonfile

import (
	"encoding/json"
	"os"
	"path/filepath"
)

// Write writes v to a file as indented JSON, and makes the folder that it is in.
func Write(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}
