package central

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// explainFile says what to do where a file can't be opened or made because of
// its folder or whose it is: that is how a fresh machine is met.
func explainFile(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: the folder %s is not there; the service makes it when it starts (systemctl start postern-central), "+
			"or make it for the user that the server runs as (install -d -m 700 -o USER %[2]s)", err, filepath.Dir(path))
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: run this as the user whose it is (runuser -u postern-central -- postern-central …)", err)
	}
	return err
}
