package bags

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"arfm/bags/rosbag2"
)

// Find returns the bags at and below the given paths, sorted, each once: a
// folder with recordings and metadata.yaml, or with the numbered splits of one
// recording, is one bag, a recording in another folder is one by itself, and a
// path to a file is taken as it is. Linked folders are followed, but not to
// where they lead above the given path. It fails with ErrNoBag where a path
// leads to none.
func Find(paths ...string) ([]string, error) {
	var out []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, rosbag2.IOError("open", path, err)
		}
		if !info.IsDir() {
			out = append(out, filepath.Clean(path))
			continue
		}
		found, err := findBelow(path)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("%w in %s: a bag is a folder with metadata.yaml, or a .mcap or .db3 file", ErrNoBag, path)
		}
		out = append(out, found...)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// Finished returns the bags at and below a folder whose recording has ended,
// the one that ended last first, and those that are still being recorded or
// broke off. A folder without any bag is no error.
func Finished(dir string) (finished, open []string, err error) {
	all, err := Find(dir)
	if errors.Is(err, ErrNoBag) {
		return nil, nil, nil
	}
	ended := map[string]time.Time{}
	for _, path := range all {
		at, ok := rosbag2.Finished(path)
		if !ok {
			open = append(open, path)
			continue
		}
		finished, ended[path] = append(finished, path), at
	}
	slices.SortStableFunc(finished, func(a, b string) int { return ended[b].Compare(ended[a]) })
	return finished, open, err
}

// finder walks folders, each once, linked ones after the others.
type finder struct {
	found []string
	links []string
	seen  map[string]bool // folders, links resolved
}

func findBelow(root string) ([]string, error) {
	top, err := resolve(root)
	if err != nil {
		return nil, err
	}
	f := &finder{seen: map[string]bool{}}
	if err := f.walk(filepath.Clean(root)); err != nil {
		return nil, err
	}
	for len(f.links) > 0 {
		link := f.links[0]
		f.links = f.links[1:]
		target, err := resolve(link)
		if err != nil {
			return nil, err
		}
		// A folder above would bring in all that lies beside the root.
		if below, err := filepath.Rel(target, top); err == nil && filepath.IsLocal(below) {
			continue
		}
		if err := f.walk(link); err != nil {
			return nil, err
		}
	}
	return f.found, nil
}

func (f *finder) walk(root string) error {
	// The trailing separator lets the walk start in a linked folder too.
	return filepath.WalkDir(root+string(filepath.Separator), func(path string, d fs.DirEntry, err error) error {
		path = filepath.Clean(path)
		if err != nil { // d may be nil
			return rosbag2.IOError("read", path, err)
		}
		hidden := path != root && strings.HasPrefix(d.Name(), ".")
		switch {
		case d.IsDir() && hidden:
			return filepath.SkipDir
		case d.IsDir():
			return f.folder(path)
		case d.Type()&fs.ModeSymlink != 0 && !hidden && isFolder(path):
			f.links = append(f.links, path)
		case rosbag2.IsRecording(d.Name()) && isFile(path):
			f.found = append(f.found, path)
		}
		return nil
	})
}

// folder takes a folder that is a bag, and skips one that was walked before.
func (f *finder) folder(path string) error {
	target, err := resolve(path)
	if err != nil {
		return err
	}
	if f.seen[target] {
		return filepath.SkipDir
	}
	f.seen[target] = true
	if rosbag2.IsBagFolder(path) {
		f.found = append(f.found, path)
		return filepath.SkipDir
	}
	return nil
}

// resolve gives the absolute path of a folder, without links.
func resolve(path string) (string, error) {
	target, err := filepath.EvalSymlinks(path)
	if err == nil {
		target, err = filepath.Abs(target)
	}
	return target, rosbag2.IOError("read", path, err)
}
