package tests

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	chatstore "chatstore.example/go"
	pb "chatstore.example/go/chatstorev1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Over each transport, against sources of which one is readonly and one is down.
func TestCalls(t *testing.T) {
	server := startCluster(t)
	for scheme, url := range server.urls {
		t.Run(scheme, func(t *testing.T) {
			client := open(t, url, nil)
			t.Run("ping", func(t *testing.T) { testPing(t, client) })
			t.Run("user", func(t *testing.T) { testUser(t, client) })
			t.Run("routing", func(t *testing.T) { testRouting(t, client) })
			t.Run("merged", func(t *testing.T) { testMerged(t, client) })
			t.Run("refusals", func(t *testing.T) { testRefusals(t, client) })
			t.Run("requestID", func(t *testing.T) { testRequestID(t, client, scheme) })
			t.Run("large", func(t *testing.T) { testLarge(t, client, scheme) })
			t.Run("parallel", func(t *testing.T) { testParallel(t, client, scheme) })
		})
	}
}

func testPing(t *testing.T, client *chatstore.Client) {
	response, err := client.Ping(context.Background(), &pb.PingRequest{})
	must(t, err)
	if response.Server.GetVersion() == "" {
		t.Error("no version")
	}
}

func testUser(t *testing.T, client *chatstore.Client) {
	ctx := within(t, 20*time.Second)
	absent, err := client.GetChatUser(ctx, &pb.GetChatUserRequest{ChatId: -9, UserId: 404})
	must(t, err)
	if absent.User != nil {
		t.Errorf("got %v", absent.User)
	}
	written, err := client.UpdateChatUser(ctx, &pb.UpdateChatUserRequest{
		ChatId: -9, UserId: 1 << 60, Username: "@é", FullName: "Ünï 😀"})
	must(t, err)
	var outcome chatstore.Outcome
	found, err := client.GetChatUser(ctx, &pb.GetChatUserRequest{ChatId: -9, UserId: 1 << 60},
		chatstore.WithOutcome(&outcome))
	must(t, err)
	user := found.User
	if written.ChangedRows != 1 || user.GetFullName() != "Ünï 😀" || user.Timezone != nil {
		t.Errorf("got %v", user)
	}
	if age := time.Since(user.GetCreatedAt().AsTime()); age < -time.Minute || age > time.Minute {
		t.Errorf("made %v ago", age)
	}
	if outcome.Source != "main" || outcome.Attempts != 1 {
		t.Errorf("got %+v", outcome)
	}
}

func testRouting(t *testing.T, client *chatstore.Client) {
	ctx := within(t, 20*time.Second)
	for _, request := range []*pb.GetChatUserRequest{
		{ChatId: -3000, UserId: 7},
		{ChatId: -100, UserId: 7, DataSource: "archive"},
	} {
		var outcome chatstore.Outcome
		found, err := client.GetChatUser(ctx, request, chatstore.WithOutcome(&outcome))
		must(t, err)
		if found.User.GetFullName() != "Ann" || outcome.Source != "archive" {
			t.Errorf("got %v of %q", found.User, outcome.Source)
		}
	}
}

func testMerged(t *testing.T, client *chatstore.Client) {
	ctx := within(t, 20*time.Second)
	_, err := client.UpdateChatInfo(ctx, &pb.UpdateChatInfoRequest{ChatId: -100, Type: "supergroup"})
	must(t, err)
	_, err = client.UpdateChatUser(ctx, &pb.UpdateChatUserRequest{ChatId: -100, UserId: 7})
	must(t, err)
	var outcome chatstore.Outcome
	found, err := client.GetUserChats(ctx, &pb.GetUserChatsRequest{UserId: 7},
		chatstore.WithOutcome(&outcome))
	must(t, err)
	got := []string{}
	for _, chat := range found.Chats {
		got = append(got, fmt.Sprint(chat.ChatId, chat.Type))
	}
	if strings.Join(got, " ") != "-100supergroup -3000group" {
		t.Errorf("got %v", got)
	}
	if strings.Join(outcome.MergedSources, " ") != "main archive" || outcome.Source != "" ||
		len(outcome.FailedSources) != 1 || outcome.FailedSources[0].Source != "broken" ||
		chatstore.Code(outcome.FailedSources[0].Code) != chatstore.Unavailable {
		t.Errorf("got %+v", outcome)
	}
}

func testRefusals(t *testing.T, client *chatstore.Client) {
	ctx := within(t, 20*time.Second)
	_, err := client.UpdateChatUser(ctx, &pb.UpdateChatUserRequest{ChatId: -3000, UserId: 7})
	failure := mustFail(t, err, chatstore.FailedPrecondition, "archive")
	if failure.Method != "UpdateChatUser" || failure.Source != "archive" {
		t.Errorf("got %+v", failure)
	}
	_, err = client.GetChatUser(ctx, &pb.GetChatUserRequest{UserId: 7})
	mustFail(t, err, chatstore.InvalidArgument, "chat_id")
	_, err = client.GetChatUsers(ctx, &pb.GetChatUsersRequest{ChatId: -9, Limit: -1})
	mustFail(t, err, chatstore.InvalidArgument, "limit")
	_, err = client.GetChatUser(ctx,
		&pb.GetChatUserRequest{ChatId: -9, UserId: 7, DataSource: "broken"})
	mustFail(t, err, chatstore.Unavailable, "broken")
	_, err = client.SetSetting(ctx, &pb.SetSettingRequest{Key: "k", Value: ptr(strings.Repeat("x", 4<<20))})
	mustFail(t, err, chatstore.ResourceExhausted, "RequestBytesMax")
	err = client.Call(ctx, "GetNothing", &pb.PingRequest{}, &pb.PingResponse{})
	mustFail(t, err, chatstore.InvalidArgument, "GetNothing")
}

func testRequestID(t *testing.T, client *chatstore.Client, scheme string) {
	ctx := within(t, 20*time.Second)
	id := chatstore.NewRequestID()
	request := &pb.UpdateTokenStatsRequest{Token: "once-" + scheme, IsSpam: true, Increment: ptr(int64(1))}
	for range 3 {
		_, err := client.UpdateTokenStats(ctx, request, chatstore.WithRequestID(id))
		must(t, err)
	}
	if count := spamCount(t, client, request.Token); count != 1 {
		t.Errorf("counted %d times", count)
	}
	request.Increment = ptr(int64(2))
	_, err := client.UpdateTokenStats(ctx, request, chatstore.WithRequestID(id))
	mustFail(t, err, chatstore.AlreadyExists, id)
}

func testLarge(t *testing.T, client *chatstore.Client, scheme string) {
	ctx := within(t, 60*time.Second)
	chat := map[string]int64{"ipc": -1001, "tcp": -1002, "ws": -1003}[scheme]
	_, err := client.UpdateChatUser(ctx, &pb.UpdateChatUserRequest{ChatId: chat, UserId: 7})
	must(t, err)
	text := strings.Repeat("0123456789abcdef", 1<<16)
	for i := range 5 {
		_, err := client.SaveChatMessage(ctx, &pb.SaveChatMessageRequest{
			Date: timestamppb.New(time.Unix(int64(1700000000+i), 0)), ChatId: chat, UserId: 7,
			MessageId: fmt.Sprint(scheme, i), MessageText: text})
		must(t, err)
	}
	found, err := client.GetChatMessagesSince(ctx, &pb.GetChatMessagesSinceRequest{ChatId: chat})
	must(t, err)
	for i, message := range found.Messages {
		if message.MessageText != text || message.Date.Seconds != int64(1700000004-i) {
			t.Fatalf("message %d differs", i)
		}
	}
	if len(found.Messages) != 5 {
		t.Errorf("%d messages", len(found.Messages))
	}
}

func testParallel(t *testing.T, client *chatstore.Client, scheme string) {
	var all sync.WaitGroup
	for i := range 64 {
		all.Add(1)
		go func() {
			defer all.Done()
			key, value := fmt.Sprint(scheme, i), fmt.Sprint("value ", i)
			ctx := within(t, 30*time.Second)
			_, err := client.SetSetting(ctx, &pb.SetSettingRequest{Key: key, Value: ptr(value)})
			if err != nil {
				t.Error(err)
			}
			found, err := client.GetSetting(ctx, &pb.GetSettingRequest{Key: key})
			if err != nil || found.GetValue() != value {
				t.Error(found, err)
			}
		}()
	}
	all.Wait()
}

func spamCount(t *testing.T, client *chatstore.Client, token string) int64 {
	t.Helper()
	found, err := client.GetTokenStats(within(t, 20*time.Second),
		&pb.GetTokenStatsRequest{Tokens: []string{token}})
	must(t, err)
	if len(found.Tokens) != 1 {
		t.Fatalf("got %v", found.Tokens)
	}
	return found.Tokens[0].SpamCount
}

func ptr[T any](value T) *T { return &value }

// The program of the README, which the script that runs the tests cuts out.
func TestReadme(t *testing.T) {
	server := startServer(t, t.TempDir(), "--db", "bot.db")
	program := exec.Command("go", "run", "./example")
	program.Dir = ".."
	program.Env = append(os.Environ(), "CHATSTORE_URL="+server.urls["tcp"])
	output, err := program.CombinedOutput()
	if err != nil || !strings.Contains(string(output), "Ann") ||
		!strings.Contains(string(output), "INVALID_ARGUMENT") {
		t.Fatalf("%v: %s", err, output)
	}
}
