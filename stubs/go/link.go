package chatstore

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"go.nanomsg.org/mangos/v3"
	"go.nanomsg.org/mangos/v3/protocol/req"

	// The transports by which servers listen.
	_ "go.nanomsg.org/mangos/v3/transport/ipc"
	_ "go.nanomsg.org/mangos/v3/transport/tcp"
	_ "go.nanomsg.org/mangos/v3/transport/tlstcp"
	_ "go.nanomsg.org/mangos/v3/transport/ws"
	_ "go.nanomsg.org/mangos/v3/transport/wss"
)

// link is the connection to a server, which mangos makes again whenever it breaks.
type link struct {
	socket mangos.Socket
	url    string
}

func newLink(address string, options *Options) (*link, error) {
	if err := checkURL(address); err != nil {
		return nil, err
	}
	socket, err := req.NewSocket()
	if err != nil {
		return nil, &Error{Code: Internal, Message: err.Error(), cause: err}
	}
	if err := dial(socket, address, options); err != nil {
		_ = socket.Close()
		return nil, &Error{Code: InvalidArgument, Message: fmt.Sprintf("%q: %v", address, err), cause: err}
	}
	return &link{socket: socket, url: address}, nil
}

func dial(socket mangos.Socket, address string, options *Options) error {
	settings := map[string]any{
		// Without it mangos sends a request again by itself when the connection broke; the client
		// does that, and knows for how long and how often.
		mangos.OptionRetryTime:        time.Duration(0),
		mangos.OptionReconnectTime:    delayMin,
		mangos.OptionMaxReconnectTime: delayMax,
		mangos.OptionMaxRecvSize:      options.ReplyBytesMax,
	}
	for name, value := range settings {
		if err := socket.SetOption(name, value); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	dialing := map[string]any{mangos.OptionDialAsynch: true}
	if strings.HasPrefix(address, "tls+tcp://") || strings.HasPrefix(address, "wss://") {
		dialing[mangos.OptionTLSConfig] = options.TLS
	}
	return socket.DialOptions(address, dialing)
}

func checkURL(address string) error {
	parsed, err := url.Parse(address)
	if err != nil {
		return &Error{Code: InvalidArgument, Message: err.Error(), cause: err}
	}
	known, ok := true, false
	switch parsed.Scheme {
	case "ipc":
		ok = strings.TrimPrefix(address, "ipc://") != ""
	case "tcp", "tls+tcp":
		ok = parsed.Hostname() != "" && parsed.Port() != ""
	case "ws", "wss":
		ok = parsed.Hostname() != ""
	default:
		known = false
	}
	switch {
	case !known:
		return &Error{Code: InvalidArgument, Message: fmt.Sprintf("%q: the Go client knows "+
			"ipc:///path, tcp://host:port, tls+tcp://host:port, ws:// and wss://host:port/path", address)}
	case !ok:
		return &Error{Code: InvalidArgument, Message: fmt.Sprintf("%q lacks a host, port or path", address)}
	}
	return nil
}

// exchange sends a frame and waits for its reply until ctx ends. sent: whether the server may have
// got it. Errors: *lost if another try may succeed, ctx.Err(), or mangos.ErrClosed of a closed client.
func (l *link) exchange(ctx context.Context, frame []byte) (reply []byte, sent bool, err error) {
	exchange, err := l.socket.OpenContext()
	if err != nil {
		return nil, false, err
	}
	defer exchange.Close()
	stop := context.AfterFunc(ctx, func() { _ = exchange.Close() })
	defer stop()

	if err = exchange.Send(frame); err == nil {
		sent = true
		reply, err = exchange.Recv()
	}
	switch {
	case err == nil:
		return reply, true, nil
	case ctx.Err() != nil:
		return nil, sent, ctx.Err()
	case errors.Is(err, mangos.ErrClosed):
		return nil, sent, err
	default:
		return nil, sent, &lost{err}
	}
}
