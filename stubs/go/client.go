package chatstore

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"go.nanomsg.org/mangos/v3"
	"google.golang.org/protobuf/proto"
)

// Client calls a server. It may be used by any number of goroutines at a time; their calls share
// one connection, which is made again when it breaks. Calls are repeated as the README says, until
// their context's deadline. Their errors are of type *Error.
type Client struct {
	link     *link
	options  Options
	inFlight atomic.Int64
}

// Open makes a client; it connects in the background. url: "ipc:///path", "tcp://host:port",
// "tls+tcp://host:port", "ws://host:port/path", "wss://host:port/path"; "" is DefaultURL().
// options may be nil.
func Open(url string, options *Options) (*Client, error) {
	if url == "" {
		url = DefaultURL()
	}
	client := &Client{options: options.withDefaults()}
	link, err := newLink(url, &client.options)
	if err != nil {
		return nil, err
	}
	client.link = link
	return client, nil
}

// Close closes the connection. Calls under way fail, and so do those that follow.
func (c *Client) Close() error {
	if err := c.link.socket.Close(); err != nil && !errors.Is(err, mangos.ErrClosed) {
		return err
	}
	return nil
}

// Call makes any call by its name, as in "GetChatUser" or "/chatstore.v1.UserService/GetChatUser",
// and fills response. Every call has a method of its own too, which does this.
func (c *Client) Call(
	ctx context.Context, name string, request, response proto.Message, options ...CallOption,
) error {
	called := findMethod(name)
	if called == nil {
		return &Error{Code: InvalidArgument, Message: fmt.Sprintf("there is no call %q", name)}
	}
	attempt, err := newAttempt(called, request, &c.options, options)
	if err != nil {
		return err
	}
	defer c.inFlight.Add(-1)
	if most := c.options.CallsInFlightMax; c.inFlight.Add(1) > int64(most) {
		return attempt.failure(ResourceExhausted,
			fmt.Sprintf("%d calls of this client are under way (CallsInFlightMax)", most))
	}
	if _, ok := ctx.Deadline(); !ok {
		limited, cancel := context.WithTimeout(ctx, c.options.Timeout)
		defer cancel()
		ctx = limited
	}
	for {
		err := c.try(ctx, attempt, response)
		if err == nil {
			return nil
		}
		if err := attempt.failed(ctx, err); err != nil {
			return err
		}
	}
}

func (c *Client) try(ctx context.Context, a *attempt, response proto.Message) error {
	frame, err := a.frame(ctx)
	if err != nil {
		return a.failure(Internal, err.Error())
	}
	reply, sent, err := c.link.exchange(ctx, frame)
	a.isUnknown = a.isUnknown || sent && err != nil
	switch {
	case err == nil:
		return a.read(reply, response)
	case errors.Is(err, mangos.ErrClosed):
		return a.failure(FailedPrecondition, "the client is closed")
	case ctx.Err() != nil && a.isUnknown:
		return a.ended(err, "no reply in time")
	case ctx.Err() != nil:
		return a.ended(err, "no connection to "+c.link.url+" in time")
	default:
		return err
	}
}

// typed is what the generated methods do.
func typed[R proto.Message](
	ctx context.Context, c *Client, name string, request proto.Message, response R,
	options []CallOption,
) (R, error) {
	if err := c.Call(ctx, name, request, response, options...); err != nil {
		var none R
		return none, err
	}
	return response, nil
}
