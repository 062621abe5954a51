package rosbag2_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	"arfm/bags/rosbag2"
)

// Example writes a bag, and reads one topic of it.
func Example() {
	parent, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(parent)
	dir := filepath.Join(parent, "hello")

	w, err := rosbag2.Create(dir, rosbag2.WriterOptions{})
	if err != nil {
		log.Fatal(err)
	}
	id, err := w.AddTopic(rosbag2.Topic{Name: "/chatter", Type: "std_msgs/msg/String"})
	if err != nil {
		log.Fatal(err)
	}
	hello := []byte{0, 1, 0, 0, 6, 0, 0, 0, 'h', 'e', 'l', 'l', 'o', 0}
	for i := range 3 {
		if err := w.Write(id, int64(i)*1e9, hello); err != nil {
			log.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}

	bag, err := rosbag2.Open(dir)
	if err != nil {
		log.Fatal(err)
	}
	defer bag.Close()
	info := bag.Info()
	fmt.Println(info.Storage, info.Messages, "messages,", info.Compression)

	it, err := bag.Messages(rosbag2.Filter{Topics: []string{"/chatter"}, Start: 1e9})
	if err != nil {
		log.Fatal(err)
	}
	defer it.Close()
	for {
		m, err := it.Next()
		if err == io.EOF {
			break
		}
		if errors.Is(err, rosbag2.ErrTruncated) {
			log.Print(err) // says where; the next call goes on behind it
			continue
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(m.LogTime, m.Topic.Name, len(m.Data), "bytes")
	}
	// Output:
	// mcap 3 messages, zstd chunk
	// 1000000000 /chatter 14 bytes
	// 2000000000 /chatter 14 bytes
}
