package chatstore

import (
	"crypto/tls"
	"os"
	"time"

	pb "chatstore.example/go/chatstorev1"
)

// Options are what a client may be given; a zero means the default.
type Options struct {
	// Token says who this client is, where the server wants to know. Default: $CHATSTORE_TOKEN.
	Token string
	// Timeout is what a call may take whose context has no deadline, retries included. Default: 30 s.
	Timeout time.Duration
	// TLS is for tls+tcp and wss. Default: the system's certificates are trusted.
	TLS *tls.Config
	// CallsInFlightMax: more calls at a time fail with ResourceExhausted. Default: 1024.
	CallsInFlightMax int
	// RequestBytesMax: a longer request fails with ResourceExhausted. Default: 4 MiB.
	RequestBytesMax int
	// ReplyBytesMax: a longer reply breaks the connection. Default: 64 MiB.
	ReplyBytesMax int
}

// Outcome is where an answer came from.
type Outcome struct {
	// Source is the source that answered; empty for calls of the server itself and merged answers.
	Source string
	// MergedSources are, of a merged read, the sources whose rows were merged.
	MergedSources []string
	// FailedSources are, of a merged read, the sources whose rows are missing, and why.
	FailedSources []*pb.SourceFailure
	// Attempts is how often the call was tried.
	Attempts int
}

// CallOption changes one call.
type CallOption func(*callSettings)

type callSettings struct {
	requestID string
	outcome   *Outcome
}

// WithRequestID gives a write its UUID, by which the server does a repeated write once; without it
// the client makes one. Reads ignore it.
func WithRequestID(id string) CallOption {
	return func(settings *callSettings) { settings.requestID = id }
}

// WithOutcome has the call say where its answer came from, whether it fails or not.
func WithOutcome(outcome *Outcome) CallOption {
	return func(settings *callSettings) { settings.outcome = outcome }
}

func (o *Options) withDefaults() Options {
	options := Options{}
	if o != nil {
		options = *o
	}
	if options.Token == "" {
		options.Token = os.Getenv("CHATSTORE_TOKEN")
	}
	if options.Timeout <= 0 {
		options.Timeout = 30 * time.Second
	}
	if options.TLS == nil {
		options.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if options.CallsInFlightMax <= 0 {
		options.CallsInFlightMax = 1024
	}
	if options.RequestBytesMax <= 0 {
		options.RequestBytesMax = 4 << 20
	}
	if options.ReplyBytesMax <= 0 {
		options.ReplyBytesMax = 64 << 20
	}
	return options
}

// DefaultURL is $CHATSTORE_URL, else where chatstored listens by itself.
func DefaultURL() string {
	if url := os.Getenv("CHATSTORE_URL"); url != "" {
		return url
	}
	folder := os.Getenv("XDG_RUNTIME_DIR")
	if folder == "" {
		folder = "/run/chatstore"
	}
	return "ipc://" + folder + "/chatstore.sock"
}
