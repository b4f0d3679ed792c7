package chatstore

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
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

const silentMax = 5 * time.Second

// link is the connection to a server, which mangos makes again whenever it breaks.
type link struct {
	socket mangos.Socket
	url    string

	mutex sync.Mutex
	pipe  mangos.Pipe // the last one
	// When the first frame was sent after the last reply; zero: none was.
	silentSince time.Time
}

func newLink(address string, options *Options) (*link, error) {
	if err := checkURL(address); err != nil {
		return nil, err
	}
	socket, err := req.NewSocket()
	if err != nil {
		return nil, &Error{Code: Internal, Message: err.Error(), cause: err}
	}
	l := &link{socket: socket, url: address}
	socket.SetPipeEventHook(l.pipeEvent)
	if err := dial(socket, address, options); err != nil {
		_ = socket.Close()
		return nil, &Error{Code: InvalidArgument, Message: fmt.Sprintf("%q: %v", address, err), cause: err}
	}
	return l, nil
}

func (l *link) pipeEvent(event mangos.PipeEvent, pipe mangos.Pipe) {
	if event == mangos.PipeEventAttached {
		l.mutex.Lock()
		l.pipe, l.silentSince = pipe, time.Time{}
		l.mutex.Unlock()
	}
}

func (l *link) noteSent() {
	l.mutex.Lock()
	if l.silentSince.IsZero() {
		l.silentSince = time.Now()
	}
	l.mutex.Unlock()
}

func (l *link) noteReply() {
	l.mutex.Lock()
	l.silentSince = time.Time{}
	l.mutex.Unlock()
}

// noteTimeout gives a connection up from which nothing has come for long: TCP itself takes a quarter of
// an hour to notice that one of its addresses is gone.
func (l *link) noteTimeout() {
	l.mutex.Lock()
	pipe := l.pipe
	isSilent := !l.silentSince.IsZero() && time.Since(l.silentSince) >= silentMax
	if isSilent {
		l.silentSince = time.Time{}
	}
	l.mutex.Unlock()
	if isSilent {
		_ = pipe.Close()
	}
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
		l.noteSent()
		reply, err = exchange.Recv()
	}
	switch {
	case err == nil:
		l.noteReply()
		return reply, true, nil
	case ctx.Err() != nil:
		l.noteTimeout()
		return nil, sent, ctx.Err()
	case errors.Is(err, mangos.ErrClosed):
		return nil, sent, err
	default:
		return nil, sent, &lost{err}
	}
}
