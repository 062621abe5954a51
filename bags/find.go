package bags

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"arfm/bags/rosbag2"
)

// Find returns the bags at and below the given paths, sorted, each once: a
// folder with recordings and metadata.yaml, or with the numbered splits of one
// recording, is one bag, a recording in another folder is one by itself, and a path to a file is taken as it is. It fails
// with ErrNoBag where a path leads to none.
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

func findBelow(root string) ([]string, error) {
	var out []string
	clean := filepath.Clean(root)
	// The trailing separator lets the walk start in a linked folder too.
	err := filepath.WalkDir(clean+string(filepath.Separator), func(path string, d fs.DirEntry, err error) error {
		path = filepath.Clean(path)
		switch {
		case err != nil:
			return rosbag2.IOError("read", path, err)
		case d.IsDir() && path != clean && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir
		case d.IsDir() && rosbag2.IsBagFolder(path):
			out = append(out, path)
			return filepath.SkipDir
		case rosbag2.IsRecording(d.Name()) && isFile(path):
			out = append(out, path)
		}
		return nil
	})
	return out, err
}
