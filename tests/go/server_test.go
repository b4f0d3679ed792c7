package tests

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	chatstore "chatstore.example/go"
	pb "chatstore.example/go/chatstorev1"
)

// server is a chatstored of a test, with a folder of its own.
type server struct {
	t       *testing.T
	folder  string
	options []string
	process *exec.Cmd
	said    chan string       // what the process logged, when it has ended
	urls    map[string]string // by scheme
}

// startServer runs chatstored with these options on a unix socket, TCP and a WebSocket, until the
// test ends.
func startServer(t *testing.T, folder string, options ...string) *server {
	t.Helper()
	return startServerOn(t, folder, map[string]string{
		"ipc": "ipc://" + filepath.Join(folder, "s.sock"),
		"tcp": "tcp://127.0.0.1:0",
		"ws":  fmt.Sprintf("ws://127.0.0.1:%d/chat", freePort(t)),
	}, options...)
}

// startServerOn is the same on other addresses.
func startServerOn(t *testing.T, folder string, urls map[string]string, options ...string) *server {
	t.Helper()
	s := &server{t: t, folder: folder, options: options, urls: urls}
	t.Cleanup(func() { s.stop(syscall.SIGTERM) })
	s.start()
	return s
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// start runs it, on the same addresses as before, and waits until it listens on all of them.
func (s *server) start() {
	s.t.Helper()
	options := s.options
	for _, url := range s.urls {
		options = append(options, "--listen", url)
	}
	program := filepath.Join(os.Getenv("CHATSTORE_BINARY_DIR"), "service/chatstored")
	process := exec.Command(program, options...)
	process.Dir = s.folder
	log, err := process.StderrPipe()
	must(s.t, err)
	must(s.t, process.Start())
	s.process = process
	lines := bufio.NewScanner(log)
	said := ""
	for listening := 0; listening < len(s.urls); {
		if !lines.Scan() {
			s.t.Fatalf("chatstored ended: %s", said)
		}
		said += lines.Text() + "\n"
		if _, url, found := strings.Cut(lines.Text(), "listening on "); found {
			scheme, _, _ := strings.Cut(url, "://")
			s.urls[scheme] = url
			listening++
		}
	}
	s.said = make(chan string, 1)
	go func() {
		for lines.Scan() {
			said += lines.Text() + "\n"
		}
		s.said <- said
	}()
}

// stop ends it; one that is asked to must end well.
func (s *server) stop(signal syscall.Signal) {
	if s.process == nil {
		return
	}
	_ = s.process.Process.Signal(signal)
	said := ""
	if s.said != nil {
		said = <-s.said
	}
	err := s.process.Wait()
	s.process = nil
	if signal == syscall.SIGTERM && err != nil {
		s.t.Errorf("chatstored: %v: %s", err, said)
	}
}

func open(t *testing.T, url string, options *chatstore.Options) *chatstore.Client {
	t.Helper()
	client, err := chatstore.Open(url, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// within is a context with a deadline.
func within(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

const configuration = `
[database]
default = "main"
sources = {
    main = { path = "main.db" },
    archive = { path = "archive.db", readonly = true },
    broken = { path = "missing.db", readonly = true },
}
chatMapping = { -3000 = "archive" }
`

// startCluster runs a server with a writable source, a readonly one and one that is down. Chat -3000
// is in the archive, chat -100 in both.
func startCluster(t *testing.T) *server {
	t.Helper()
	folder := t.TempDir()
	old := startServer(t, folder, "--db", "archive.db")
	client := open(t, old.urls["ipc"], nil)
	ctx := within(t, 20*time.Second)
	for _, chat := range []int64{-3000, -100} {
		_, err := client.UpdateChatInfo(ctx, &pb.UpdateChatInfoRequest{ChatId: chat, Type: "group"})
		must(t, err)
		_, err = client.UpdateChatUser(ctx, &pb.UpdateChatUserRequest{
			ChatId: chat, UserId: 7, Username: "@ann", FullName: "Ann"})
		must(t, err)
	}
	old.stop(syscall.SIGTERM)
	must(t, os.WriteFile(filepath.Join(folder, "chatstore.toml"), []byte(configuration), 0o600))
	return startServer(t, folder, "--config", "chatstore.toml")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustFail(t *testing.T, err error, code chatstore.Code, text string) *chatstore.Error {
	t.Helper()
	failure, ok := err.(*chatstore.Error)
	if !ok || failure.Code != code || !strings.Contains(failure.Message, text) {
		t.Fatalf("got %v, want %v with %q", err, code, text)
	}
	return failure
}
