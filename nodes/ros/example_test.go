//go:build ros

package ros_test

import (
	"context"
	"errors"
	"fmt"

	"arfm/nodes/ros"
	"arfm/nodes/ros/param"
)

// A node that repeats what it hears while it is active.
func ExampleMain() {
	ros.Main("echo_node", func(_ context.Context, n *ros.Node) error {
		err := n.Declare(param.Declaration{Name: "prefix", Default: param.Of("heard: "), Description: "put before each message"})
		if err != nil {
			return err
		}
		group := n.NewGroup()
		var pub *ros.Publisher
		var sub *ros.Subscription
		return n.Lifecycle(ros.Callbacks{
			Configure: func() (err error) {
				pub, err = n.Publisher("~/out", "std_msgs/msg/String", ros.Default)
				return err
			},
			Activate: func() (err error) {
				sub, err = n.Subscribe(group, "~/in", "std_msgs/msg/String", ros.Default, func(m ros.Message) {
					rec, err := pub.Type.Decode(m.Data)
					if err != nil {
						n.Log.Warnf("%v", err)
						return
					}
					text, _ := rec.Lookup("data")
					err = rec.Set("data", param.Get[string](n.Params, "prefix")+fmt.Sprint(text))
					if err := errors.Join(err, pub.Publish(rec)); err != nil {
						n.Log.Errorf("%v", err)
					}
				})
				return err
			},
			Deactivate: func() error { return sub.Close() },
			Cleanup:    func() error { return pub.Close() },
		})
	})
}
