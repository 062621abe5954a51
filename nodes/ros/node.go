//go:build ros

package ros

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tiiuae/rclgo/pkg/rclgo"
	"github.com/tiiuae/rclgo/pkg/rclgo/types"

	"arfm/bags/cdr"
	"arfm/nodes/ros/param"
)

// ErrNoServer says that a service has no server that could answer.
var ErrNoServer = errors.New("there is no server")

// Node is a ROS node with its parameters, log and clock. Its methods may be
// called from several goroutines.
type Node struct {
	Params *param.Set
	Log    *Log
	Clock  *Clock

	ctx *Context
	rcl *rclgo.Node
	mu  sync.Mutex // rcl's creating and closing is not for concurrent use

	groups  []*Group // closed with the node
	group   *Group   // of the node's own services
	clock   *Group   // of /clock
	ends    ends     // its topics
	machine *machine
	stopped chan error // what Stop was called with

	warning sync.Mutex
	warned  map[string]bool // parameters that are set but not declared

	serving sync.WaitGroup // handlers of services that run
}

// NewNode makes a node; remaps in the arguments change name and namespace.
func (c *Context) NewNode(name string) (*Node, error) {
	rcl, err := c.rcl.NewNode(name, "")
	if err != nil {
		return nil, fmt.Errorf("ros: node %s: %w", name, tidy(err))
	}
	n := &Node{ctx: c, rcl: rcl, Log: newLog(rcl.Logger())}
	if err := n.furnish(); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// Name returns the node's name, without namespace.
func (n *Node) Name() string { return n.rcl.Name() }

// Namespace returns the namespace, "/" at the root.
func (n *Node) Namespace() string { return n.rcl.Namespace() }

// FullName returns namespace and name.
func (n *Node) FullName() string { return n.rcl.FullyQualifiedName() }

// Context returns the node's context.
func (n *Node) Context() *Context { return n.ctx }

// NewGroup returns a group that ends with the node and logs what goes wrong.
func (n *Node) NewGroup() *Group {
	g := n.ctx.NewGroup(func(err error) { n.Log.Errorf("%v", err) })
	n.mu.Lock()
	defer n.mu.Unlock()
	n.groups = append(n.groups, g)
	return g
}

// Resolve returns the full name of a topic of the node, remaps applied.
func (n *Node) Resolve(topic string) string {
	return resolve(n.ctx.remaps, "rostopic", topic, n.Name(), n.Namespace())
}

// Close takes the node and all that belongs to it out of the graph, once the
// handlers of its services have answered. Groups of the context with its
// entities and its action servers must be closed before.
func (n *Node) Close() error {
	n.mu.Lock()
	groups := slices.Clone(n.groups)
	n.mu.Unlock()
	for _, g := range groups {
		g.Close()
	}
	n.serving.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	return tidy(n.rcl.Close())
}

// Publisher publishes records of one type.
type Publisher struct {
	Type *Type

	rcl  *rclgo.Publisher
	node *Node
	end  *end
}

// Publisher makes a publisher of a type, pkg/msg/Name; parameters of
// qos_overrides change its QoS.
func (n *Node) Publisher(topic, typ string, qos QoS) (*Publisher, error) {
	qos, err := n.overrideQoS("publisher", topic, qos)
	if err != nil {
		return nil, err
	}
	return n.publisher(topic, typ, qos)
}

func (n *Node) publisher(topic, typ string, qos QoS) (*Publisher, error) {
	t, err := n.ctx.Type(typ)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	rcl, err := n.rcl.NewPublisher(topic, support{t}, &rclgo.PublisherOptions{Qos: qos.rcl()})
	if err != nil {
		return nil, fmt.Errorf("ros: publisher of %s: %w", topic, tidy(err))
	}
	return &Publisher{Type: t, rcl: rcl, node: n, end: n.ends.add(&end{n.Resolve(topic), typ, true, qos, nil})}, nil
}

// Publish sends a record.
func (p *Publisher) Publish(rec *cdr.Record) error {
	data, err := p.Type.Encode(rec)
	if err != nil {
		return fmt.Errorf("ros: %s: %w", p.rcl.TopicName, err)
	}
	return p.PublishEncoded(data)
}

// PublishEncoded sends a message that is serialized already.
func (p *Publisher) PublishEncoded(data []byte) error {
	if err := p.rcl.PublishSerialized(data); err != nil {
		return fmt.Errorf("ros: %s: %w", p.rcl.TopicName, tidy(err))
	}
	return nil
}

// Subscribers returns how many subscriptions the publisher is matched with.
func (p *Publisher) Subscribers() int {
	n, _ := p.rcl.GetSubscriptionCount()
	return n
}

// Close takes the publisher out of the graph.
func (p *Publisher) Close() error {
	p.node.ends.remove(p.end)
	return tidy(p.rcl.Close())
}

// Message is a message as it came.
type Message struct {
	Data     []byte // serialized, the receiver's own
	Sent     int64  // wall clock of the sender, ns; 0 where the middleware does not say
	Received int64  // wall clock, ns
}

// Subscription is a subscription in a group.
type Subscription struct {
	Topic string // as it was asked for
	Type  *Type

	rcl   *rclgo.Subscription
	group *Group
	node  *Node
	end   *end
}

// Subscribe takes the messages of a topic, in g, still serialized: Type decodes
// them, with the decoder that reads bags. Parameters of qos_overrides change
// its QoS.
func (n *Node) Subscribe(g *Group, topic, typ string, qos QoS, take func(Message)) (*Subscription, error) {
	qos, err := n.overrideQoS("subscription", topic, qos)
	if err != nil {
		return nil, err
	}
	return n.subscribe(g, topic, typ, qos, take)
}

func (n *Node) subscribe(g *Group, topic, typ string, qos QoS, take func(Message)) (*Subscription, error) {
	t, err := n.ctx.Type(typ)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	rcl, err := n.rcl.NewSubscription(topic, support{t}, &rclgo.SubscriptionOptions{Qos: qos.rcl()}, func(s *rclgo.Subscription) {
		data, info, err := s.TakeSerializedMessage()
		if err != nil {
			return // woken for a message that another one has taken the place of
		}
		m := Message{Data: data, Received: time.Now().UnixNano()}
		if !info.SourceTimestamp.IsZero() {
			m.Sent = info.SourceTimestamp.UnixNano()
		}
		take(m)
	})
	n.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("ros: subscription to %s: %w", topic, tidy(err))
	}
	g.change(func() { g.subs = append(g.subs, rcl) })
	return &Subscription{Topic: topic, Type: t, rcl: rcl, group: g, node: n, end: n.ends.add(&end{n.Resolve(topic), typ, false, qos, nil})}, nil
}

// Publishers returns how many publishers the subscription is matched with.
func (s *Subscription) Publishers() int {
	n, _ := s.rcl.GetPublisherCount()
	return n
}

// Close ends the subscription; a callback of its group that runs is waited for,
// so it must not be called from one.
func (s *Subscription) Close() error {
	s.node.ends.remove(s.end)
	s.group.change(func() { s.group.subs = remove(s.group.subs, s.rcl) })
	return tidy(s.rcl.Close())
}

// Handler answers a request by filling the response, which comes with its
// type's defaults. An error is logged and leaves the response as it is.
type Handler func(request, response *cdr.Record) error

// Service is a service's server in a group.
type Service struct {
	rcl     *rclgo.Service
	group   *Group
	serving sync.WaitGroup // handlers that run
}

// maxServing bounds the requests of one service that are worked on at a time.
const maxServing = 32

// Serve answers a service, pkg/srv/Name. The handler runs on a goroutine of its
// own, so that one that takes long holds up no other; it may run more than once
// at a time.
func (n *Node) Serve(g *Group, name, typ string, handle Handler) (*Service, error) {
	return n.serve(g, name, typ, maxServing, handle)
}

// serve works on at most most requests at a time.
func (n *Node) serve(g *Group, name, typ string, most int, handle Handler) (*Service, error) {
	t, err := n.ctx.cat.service(typ)
	if err != nil {
		return nil, err
	}
	s := &Service{group: g}
	serving := make(chan struct{}, most)
	n.mu.Lock()
	s.rcl, err = n.rcl.NewService(name, t, nil, func(_ *rclgo.ServiceInfo, req types.Message, answer rclgo.ServiceResponseSender) {
		select {
		case serving <- struct{}{}:
		default:
			g.log(fmt.Errorf("ros: service %s: a request is dropped, %d are being worked on", name, most))
			return
		}
		n.serving.Add(1)
		s.serving.Go(func() {
			defer n.serving.Done()
			defer func() { <-serving }()
			if err := serve(t, req, answer, handle); err != nil {
				g.log(fmt.Errorf("ros: service %s: %w", name, err))
			}
		})
	})
	n.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("ros: service %s: %w", name, tidy(err))
	}
	g.change(func() { g.srvs = append(g.srvs, s.rcl) })
	return s, nil
}

func serve(t *service, req types.Message, answer rclgo.ServiceResponseSender, handle Handler) error {
	request, err := unpack(req)
	if err != nil {
		return err
	}
	response := t.response.New()
	failed := handle(request, response)
	m, err := pack(t.response, response)
	if err != nil {
		return errors.Join(failed, err)
	}
	err = answer.SendResponse(m)
	return errors.Join(failed, tidy(err), m.err)
}

// Close ends the service once its handlers have answered.
func (s *Service) Close() error {
	s.group.change(func() { s.group.srvs = remove(s.group.srvs, s.rcl) })
	s.serving.Wait()
	return tidy(s.rcl.Close())
}

// Client calls a service.
type Client struct {
	Request *Type // of requests

	node  *Node
	rcl   *rclgo.Client
	topic string // where its requests go, as the middleware names it
	group *Group
	name  string
}

// Client makes a client of a service, pkg/srv/Name; answers come in through g.
func (n *Node) Client(g *Group, name, typ string) (*Client, error) {
	t, err := n.ctx.cat.service(typ)
	if err != nil {
		return nil, err
	}
	full := resolve(n.ctx.remaps, "rosservice", name, n.Name(), n.Namespace())
	n.mu.Lock()
	rcl, err := n.rcl.NewClient(name, t, nil)
	n.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("ros: client of %s: %w", name, tidy(err))
	}
	g.change(func() { g.cls = append(g.cls, rcl) })
	return &Client{Request: t.request, node: n, rcl: rcl, topic: "rq" + full + "Request", group: g, name: name}, nil
}

// Ready says whether there is a server that would hear a request.
func (c *Client) Ready() bool {
	c.node.mu.Lock()
	defer c.node.mu.Unlock()
	servers, err := c.node.rcl.GetSubscriptionsInfoByTopic(c.topic, false)
	return err == nil && len(servers) > 0
}

// Call sends a request and waits for the response or ctx's end. Without a
// server it fails at once with ErrNoServer.
func (c *Client) Call(ctx context.Context, request *cdr.Record) (*cdr.Record, error) {
	m, err := pack(c.Request, request)
	if err != nil {
		return nil, err
	}
	if !c.Ready() {
		return nil, fmt.Errorf("ros: service %s: %w", c.name, ErrNoServer)
	}
	answer, _, err := c.rcl.Send(ctx, m)
	switch {
	case m.err != nil:
		return nil, m.err
	case ctx.Err() != nil:
		return nil, fmt.Errorf("ros: service %s: no answer: %w", c.name, ctx.Err())
	case err != nil:
		return nil, fmt.Errorf("ros: service %s: %w", c.name, tidy(err))
	}
	return unpack(answer)
}

// Close ends the client; calls in progress fail.
func (c *Client) Close() error {
	c.group.change(func() { c.group.cls = remove(c.group.cls, c.rcl) })
	return tidy(c.rcl.Close())
}
