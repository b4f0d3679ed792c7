package tests

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	chatstore "chatstore.example/go"
	pb "chatstore.example/go/chatstorev1"
	"google.golang.org/protobuf/proto"
)

var hello = []byte{0, 'S', 'P', 0, 0, 0x31, 0, 0}

// fakeServer listens on TCP; serve gets each connection, by its number from 1 on.
func fakeServer(t *testing.T, serve func(number int, connection net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for number := 1; ; number++ {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connection.Close()
				serve(number, connection)
			}()
		}
	}()
	return "tcp://" + listener.Addr().String()
}

// readRequest reads one frame: its id as it came, and the body.
func readRequest(connection net.Conn) (id uint32, body []byte, err error) {
	header := make([]byte, 12)
	if _, err = io.ReadFull(connection, header); err != nil {
		return 0, nil, err
	}
	body = make([]byte, binary.BigEndian.Uint64(header)-4)
	_, err = io.ReadFull(connection, body)
	return binary.BigEndian.Uint32(header[8:]), body, err
}

func writeReply(connection net.Conn, id uint32, body []byte) {
	frame := binary.BigEndian.AppendUint64(nil, uint64(len(body)+4))
	frame = binary.BigEndian.AppendUint32(frame, id)
	_, _ = connection.Write(append(frame, body...))
}

func greet(connection net.Conn) {
	_, _ = connection.Write(hello)
	_, _ = io.ReadFull(connection, make([]byte, 8))
}

func encode(t *testing.T, message proto.Message) []byte {
	t.Helper()
	bytes, err := proto.Marshal(message)
	must(t, err)
	return bytes
}

// The server is killed and started again while 4 goroutines count; nothing is lost or done twice.
func TestRestart(t *testing.T) {
	for _, scheme := range []string{"ipc", "tcp", "ws"} {
		t.Run(scheme, func(t *testing.T) {
			server := startServer(t, t.TempDir(), "--db", "bot.db")
			client := open(t, server.urls[scheme], nil)
			var written atomic.Int64
			ctx := within(t, 40*time.Second)
			stop := make(chan struct{})
			var all sync.WaitGroup
			for range 4 {
				all.Add(1)
				go func() {
					defer all.Done()
					for !isClosed(stop) {
						_, err := client.UpdateTokenStats(ctx,
							&pb.UpdateTokenStatsRequest{Token: "n", IsSpam: true})
						if err != nil {
							t.Error(err)
							return
						}
						written.Add(1)
					}
				}()
			}
			for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
				time.Sleep(200 * time.Millisecond)
				server.stop(signal)
				time.Sleep(100 * time.Millisecond)
				server.start()
			}
			time.Sleep(200 * time.Millisecond)
			close(stop)
			all.Wait()
			if count := spamCount(t, client, "n"); count != written.Load() || count < 8 {
				t.Errorf("%d calls were acknowledged, %d counted", written.Load(), count)
			}
		})
	}
}

func isClosed(channel chan struct{}) bool {
	select {
	case <-channel:
		return true
	default:
		return false
	}
}

// 64 requests are on one connection before the first is answered, in reverse order.
func TestPipelining(t *testing.T) {
	var connections atomic.Int64
	url := fakeServer(t, func(_ int, connection net.Conn) {
		connections.Add(1)
		greet(connection)
		ids := []uint32{}
		for len(ids) < 64 {
			id, _, err := readRequest(connection)
			if err != nil {
				return
			}
			ids = append(ids, id)
		}
		for i := range ids {
			id := ids[len(ids)-1-i]
			response := encode(t, &pb.GetSettingResponse{Value: proto.String("v")})
			writeReply(connection, id, encode(t, &pb.Reply{Results: []*pb.Result{{Payload: response}}}))
		}
		_, _, _ = readRequest(connection)
	})
	client := open(t, url, nil)
	var all sync.WaitGroup
	for range 64 {
		all.Add(1)
		go func() {
			defer all.Done()
			found, err := client.GetSetting(within(t, 20*time.Second), &pb.GetSettingRequest{Key: "k"})
			if err != nil || found.GetValue() != "v" {
				t.Error(found, err)
			}
		}()
	}
	all.Wait()
	if connections.Load() != 1 {
		t.Errorf("%d connections", connections.Load())
	}
}

func TestDeadline(t *testing.T) {
	url := fakeServer(t, func(_ int, connection net.Conn) {
		greet(connection)
		_, _ = io.Copy(io.Discard, connection)
	})
	client := open(t, url, nil)
	began := time.Now()
	_, err := client.Ping(within(t, 300*time.Millisecond), &pb.PingRequest{})
	mustFail(t, err, chatstore.DeadlineExceeded, "not known")
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 2*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(100*time.Millisecond, cancel)
	_, err = client.Ping(ctx, &pb.PingRequest{})
	mustFail(t, err, chatstore.Canceled, "canceled")
}

// A connection from which nothing comes any more is not used for ever.
func TestSilence(t *testing.T) {
	t.Parallel()
	var connections atomic.Int32
	url := fakeServer(t, func(number int, connection net.Conn) {
		greet(connection)
		for {
			id, _, err := readRequest(connection)
			if err != nil {
				return
			}
			connections.Store(int32(number))
			if number > 1 {
				writeReply(connection, id, encode(t, &pb.Reply{Results: []*pb.Result{{}}}))
			}
		}
	})
	client := open(t, url, nil)
	for _, timeout := range []time.Duration{4 * time.Second, 1500 * time.Millisecond} {
		_, err := client.Ping(within(t, timeout), &pb.PingRequest{})
		mustFail(t, err, chatstore.DeadlineExceeded, "no reply in time")
		if connections.Load() != 1 {
			t.Fatalf("%d connections", connections.Load())
		}
	}
	_, err := client.Ping(within(t, 10*time.Second), &pb.PingRequest{})
	must(t, err)
	if connections.Load() != 2 {
		t.Fatalf("%d connections", connections.Load())
	}
}

func TestNoServer(t *testing.T) {
	url := fmt.Sprintf("tcp://127.0.0.1:%d", freePort(t))
	client := open(t, url, nil)
	_, err := client.Ping(within(t, 300*time.Millisecond), &pb.PingRequest{})
	mustFail(t, err, chatstore.Unavailable, url)
	must(t, client.Close())
	_, err = client.Ping(within(t, time.Second), &pb.PingRequest{})
	mustFail(t, err, chatstore.FailedPrecondition, "closed")
}

func TestURLs(t *testing.T) {
	for _, url := range []string{"http://x", "tcp://host", "tcp://:5", "ipc://", "bot.db", "ws:///x", "\x00"} {
		_, err := chatstore.Open(url, nil)
		mustFail(t, err, chatstore.InvalidArgument, "")
	}
}

func TestTooManyCalls(t *testing.T) {
	url := fakeServer(t, func(_ int, connection net.Conn) {
		greet(connection)
		_, _ = io.Copy(io.Discard, connection)
	})
	client := open(t, url, &chatstore.Options{CallsInFlightMax: 1, Timeout: 2 * time.Second})
	first := make(chan error)
	go func() {
		_, err := client.Ping(context.Background(), &pb.PingRequest{})
		first <- err
	}()
	time.Sleep(300 * time.Millisecond)
	_, err := client.Ping(context.Background(), &pb.PingRequest{})
	mustFail(t, err, chatstore.ResourceExhausted, "CallsInFlightMax")
	mustFail(t, <-first, chatstore.DeadlineExceeded, "no reply")
}

// What a server that is broken, or none, may send.
func TestGarbage(t *testing.T) {
	good := encode(t, &pb.Reply{Results: []*pb.Result{{}}})
	cases := map[string]struct {
		reply []byte
		code  chatstore.Code
	}{
		"no protobuf":       {[]byte{0xff, 0xff, 0xff}, chatstore.Internal},
		"no results":        {nil, chatstore.Internal},
		"too many results":  {append(append([]byte{}, good...), good...), chatstore.Internal},
		"no response in it": {encode(t, &pb.Reply{Results: []*pb.Result{{Payload: []byte{0xff}}}}), chatstore.Internal},
		"an unknown status": {encode(t, &pb.Reply{Results: []*pb.Result{{Status: &pb.Status{Code: 99}}}}), 99},
		"what is right":     {good, 0},
	}
	for name, each := range cases {
		t.Run(name, func(t *testing.T) {
			client := open(t, fakeServer(t, func(_ int, connection net.Conn) {
				greet(connection)
				id, _, err := readRequest(connection)
				if err == nil {
					writeReply(connection, id+7, good) // nobody asked
					_, _ = connection.Write(binary.BigEndian.AppendUint64(nil, 0))
					writeReply(connection, id, each.reply)
					_, _, _ = readRequest(connection)
				}
			}), nil)
			_, err := client.Ping(within(t, 10*time.Second), &pb.PingRequest{})
			if chatstore.CodeOf(err) != each.code {
				t.Errorf("got %v, want %v", err, each.code)
			}
		})
	}
}

// The first connections break in every way; the call succeeds on a later one, with the same id.
func TestReconnect(t *testing.T) {
	ids := make(chan string, 8)
	url := fakeServer(t, func(number int, connection net.Conn) {
		switch number {
		case 1:
			return
		case 2:
			_, _ = connection.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			return
		}
		greet(connection)
		id, body, err := readRequest(connection)
		if err != nil {
			return
		}
		request := &pb.Request{}
		must(t, proto.Unmarshal(body, request))
		ids <- request.Calls[0].RequestId
		switch number {
		case 3: // breaks in the middle of a reply
			_, _ = connection.Write(binary.BigEndian.AppendUint64(nil, 100))
		case 4: // claims to have 2^62 bytes
			_, _ = connection.Write(binary.BigEndian.AppendUint64(nil, 1<<62))
			_, _, _ = readRequest(connection)
		default:
			status := &pb.Status{}
			if number == 5 {
				status.Code = int32(chatstore.Unavailable)
			}
			writeReply(connection, id, encode(t, &pb.Reply{Results: []*pb.Result{{Status: status}}}))
		}
	})
	var outcome chatstore.Outcome
	_, err := open(t, url, nil).SetSetting(within(t, 20*time.Second),
		&pb.SetSettingRequest{Key: "k"}, chatstore.WithOutcome(&outcome))
	must(t, err)
	first := <-ids
	for range 3 {
		if id := <-ids; id != first || len(id) != 36 {
			t.Errorf("request ids %q and %q", first, id)
		}
	}
	if outcome.Attempts != 4 {
		t.Errorf("%d attempts", outcome.Attempts)
	}
}

// answerAll has a fake server answer every request with what result says of its number.
func answerAll(t *testing.T, result func(number int64) *pb.Result) string {
	t.Helper()
	var count atomic.Int64
	return fakeServer(t, func(_ int, connection net.Conn) {
		greet(connection)
		for {
			id, _, err := readRequest(connection)
			if err != nil {
				return
			}
			answer := result(count.Add(1))
			if answer == nil {
				return
			}
			writeReply(connection, id, encode(t, &pb.Reply{Results: []*pb.Result{answer}}))
		}
	})
}

// The rule of docs/clients.md: a server is asked for as long as the call may take, a source for two
// seconds, and what breaks connections is not sent for ever.
func TestRepeating(t *testing.T) {
	down := &pb.Status{Code: int32(chatstore.Unavailable), Message: "down"}
	t.Run("server", func(t *testing.T) {
		url := answerAll(t, func(number int64) *pb.Result {
			if number < 8 {
				return &pb.Result{Status: down}
			}
			return &pb.Result{}
		})
		var outcome chatstore.Outcome
		_, err := open(t, url, nil).Ping(within(t, 20*time.Second), &pb.PingRequest{},
			chatstore.WithOutcome(&outcome))
		must(t, err)
		if outcome.Attempts != 8 {
			t.Errorf("%d attempts", outcome.Attempts)
		}
	})
	t.Run("source", func(t *testing.T) {
		url := answerAll(t, func(int64) *pb.Result { return &pb.Result{Status: down, Source: "main"} })
		began := time.Now()
		_, err := open(t, url, nil).GetSetting(within(t, 20*time.Second), &pb.GetSettingRequest{Key: "k"})
		mustFail(t, err, chatstore.Unavailable, "down")
		if took := time.Since(began); took < 1500*time.Millisecond || took > 10*time.Second {
			t.Errorf("given up after %v", took)
		}
	})
	t.Run("lost", func(t *testing.T) {
		var count atomic.Int64
		url := answerAll(t, func(number int64) *pb.Result {
			count.Store(number)
			return nil
		})
		_, err := open(t, url, nil).GetSetting(within(t, 20*time.Second), &pb.GetSettingRequest{Key: "k"})
		mustFail(t, err, chatstore.Unavailable, "broke")
		if count.Load() != 10 {
			t.Errorf("sent %d times", count.Load())
		}
	})
}
