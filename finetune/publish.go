package finetune

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"arfm/policy/checkpoint"
)

// published is a checkpoint that a run put, or was about to put, into
// Options.Publish.
type published struct {
	Step int64  `json:"step"`
	Hash string `json:"hash"`
}

// willPublish notes the newest checkpoint, for the state that is saved next.
func (t *trainer) willPublish(hash string) {
	if n := len(t.published); t.o.Publish == "" || t.o.KeepPublished == 0 || n > 0 && t.published[n-1].Step == t.n {
		return
	}
	t.published = append(t.published, published{t.n, hash})
}

// publish puts the newest checkpoint into Options.Publish and removes all but
// the newest KeepPublished of those that this run has put there. A file that
// has other weights by now is someone else's.
func (t *trainer) publish() error {
	if t.o.Publish == "" {
		return nil
	}
	if err := publish(t.o.checkpointPath(t.n), t.o.Publish); err != nil || t.o.KeepPublished == 0 {
		return err
	}
	old := t.published[:max(0, len(t.published)-t.o.KeepPublished)]
	for _, p := range old {
		path := t.o.publishedPath(p.Step)
		if info, err := checkpoint.ReadInfo(path); err != nil || info.Hash != p.Hash {
			continue
		}
		if err := removeIfThere(path); err != nil {
			return err
		}
	}
	t.published = t.published[len(old):]
	return nil
}

// catchUp publishes what a resumed run has saved and a kill, or the lack of a
// folder, kept it from publishing.
func (t *trainer) catchUp() error {
	info, err := checkpoint.ReadInfo(t.o.checkpointPath(t.n))
	if t.o.Publish == "" || err != nil { // of step 0 there is none
		return nil
	}
	if _, err := os.Lstat(t.o.publishedPath(t.n)); !errors.Is(err, os.ErrNotExist) {
		return nil
	}
	t.willPublish(info.Hash)
	return t.publish()
}

func (o *Options) publishedPath(step int64) string {
	return filepath.Join(o.Publish, filepath.Base(o.checkpointPath(step)))
}

// publish puts a second name of a checkpoint, or where the file system has no
// links a copy, into dir. A reader of dir sees the whole file or none.
func publish(path, dir string) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fileError("make the folder to publish in", err)
	}
	name := filepath.Base(path)
	hidden := filepath.Join(dir, "."+name) // watchers pass over it
	if err := os.Remove(hidden); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fileError("publish "+name, err)
	}
	defer func() {
		os.Remove(hidden) // also after a rename onto another name of the same file, which leaves both
		if err != nil {
			err = fileError("publish "+name, err)
		}
	}()
	if os.Link(path, hidden) != nil {
		if err := copyFile(hidden, path); err != nil {
			return err
		}
	}
	return os.Rename(hidden, filepath.Join(dir, name))
}

// copyFile copies path to a new file dst and makes it durable.
func copyFile(dst, path string) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}
