// gRPC in front of the same SQLite statement: the contract's own UserService, callback API on both
// sides, GetChatUser answered in the callback from a prepared statement of its thread.
//
//     grpc serve --url unix:/path --db FILE
//     grpc point --url unix:/path --in-flight 64
#include "chatstore/v1/users.grpc.pb.h"
#include "names.h"
#include "peer.h"
#include "usage.h"
#include "user_statement.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <grpcpp/grpcpp.h>
#include <memory>
#include <sqlite3.h>
#include <string>
#include <vector>

namespace v1 = chatstore::v1;

namespace
{

// ---- Server ----

// A connection and its statement, one for each thread of gRPC's.
class Reader
{
  public:
    explicit Reader(const std::string &path)
    {
        if (sqlite3_open_v2(path.c_str(), &db_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
                            nullptr) != SQLITE_OK ||
            sqlite3_exec(db_, "PRAGMA query_only = ON", nullptr, nullptr, nullptr) != SQLITE_OK ||
            sqlite3_prepare_v3(db_, USER_STATEMENT, -1, SQLITE_PREPARE_PERSISTENT, &stmt_,
                               nullptr) != SQLITE_OK)
            peer_die("grpc: %s: %s", path.c_str(), sqlite3_errmsg(db_));
    }
    Reader(const Reader &) = delete;
    Reader &operator=(const Reader &) = delete;
    ~Reader()
    {
        sqlite3_finalize(stmt_);
        sqlite3_close(db_);
    }

    grpc::Status read(const v1::GetChatUserRequest &request, v1::GetChatUserResponse *response)
    {
        sqlite3_bind_int64(stmt_, 1, request.chat_id());
        sqlite3_bind_int64(stmt_, 2, request.user_id());
        int result = sqlite3_step(stmt_);
        if (result == SQLITE_ROW)
            fill(response->mutable_user());
        sqlite3_reset(stmt_);
        if (result != SQLITE_ROW && result != SQLITE_DONE)
            return {grpc::StatusCode::INTERNAL, sqlite3_errmsg(db_)};
        return grpc::Status::OK;
    }

  private:
    int64_t integer(int column)
    {
        return sqlite3_column_int64(stmt_, column);
    }
    void text(int column, std::string *to)
    {
        const unsigned char *bytes = sqlite3_column_text(stmt_, column);
        if (bytes)
            to->assign(reinterpret_cast<const char *>(bytes),
                       static_cast<size_t>(sqlite3_column_bytes(stmt_, column)));
    }
    // "2024-01-01 12:00:00", without a library's help, as quick as can be.
    int64_t seconds(int column)
    {
        const unsigned char *text = sqlite3_column_text(stmt_, column);
        if (!text || sqlite3_column_bytes(stmt_, column) < 19)
            return 0;
        auto two = [text](int at) { return (text[at] - '0') * 10 + text[at + 1] - '0'; };
        int month = two(5), year = two(0) * 100 + two(2) - (month <= 2);
        int era = year / 400, in_era = year % 400;
        int day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + two(8) - 1;
        int day_of_era = in_era * 365 + in_era / 4 - in_era / 100 + day_of_year;
        int64_t days = static_cast<int64_t>(era) * 146097 + day_of_era - 719468;
        return days * 86400 + two(11) * 3600 + two(14) * 60 + two(17);
    }
    void fill(v1::ChatUser *user)
    {
        user->set_chat_id(integer(0));
        user->set_user_id(integer(1));
        text(2, user->mutable_username());
        text(3, user->mutable_full_name());
        if (sqlite3_column_type(stmt_, 4) != SQLITE_NULL)
            text(4, user->mutable_timezone());
        user->set_messages_count(integer(5));
        user->mutable_created_at()->set_seconds(seconds(6));
        user->mutable_updated_at()->set_seconds(seconds(7));
        user->set_is_spammer(integer(8) != 0);
        text(9, user->mutable_metadata());
    }

    sqlite3 *db_ = nullptr;
    sqlite3_stmt *stmt_ = nullptr;
};

class Service final : public v1::UserService::CallbackService
{
  public:
    explicit Service(std::string path) : path_(std::move(path))
    {
    }
    grpc::ServerUnaryReactor *GetChatUser(grpc::CallbackServerContext *context,
                                          const v1::GetChatUserRequest *request,
                                          v1::GetChatUserResponse *response) override
    {
        thread_local Reader reader(path_);
        grpc::ServerUnaryReactor *reactor = context->DefaultReactor();
        reactor->Finish(reader.read(*request, response));
        return reactor;
    }

  private:
    std::string path_;
};

int serve(const peer_options &options)
{
    peer_hold_signals();
    Service service(options.db ? options.db : "");
    grpc::ServerBuilder builder;
    builder.AddListeningPort(options.url, grpc::InsecureServerCredentials());
    builder.RegisterService(&service);
    std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
    if (!server)
        peer_die("grpc: cannot listen on %s", options.url);
    peer_wait_for_signal();
    server->Shutdown();
    return 0;
}

// ---- Client ----

// The call of a slot; a context serves one call only.
struct Call {
    v1::GetChatUserRequest request;
    v1::GetChatUserResponse response;
    alignas(grpc::ClientContext) unsigned char memory[sizeof(grpc::ClientContext)];
    grpc::ClientContext *context = nullptr;
};

struct Client {
    const peer_options &options;
    std::unique_ptr<v1::UserService::Stub> stub;
    std::vector<Call> calls;
};

void done(slot *slot, Call *call, const grpc::Status &status)
{
    bool found = status.ok() && call->response.has_user();
    call->context->~ClientContext();
    std::string error = status.ok() ? "no such user" : status.error_message();
    slot_done(slot, found ? nullptr : error.c_str());
}

void point(slot *slot, void *arg)
{
    auto *client = static_cast<Client *>(arg);
    Call *call = &client->calls[slot_index(slot)];
    call->context = new (call->memory) grpc::ClientContext;
    call->request.set_chat_id(name_chat_id(slot_random(slot) % client->options.chats));
    call->request.set_user_id(name_user_id(slot_random(slot) % client->options.users));
    call->response.Clear();
    client->stub->async()->GetChatUser(
        call->context, &call->request, &call->response,
        [slot, call](const grpc::Status &status) { done(slot, call, status); });
}

int measure(peer_options *options)
{
    Client client{*options, nullptr, std::vector<Call>(options->in_flight)};
    client.stub = v1::UserService::NewStub(
        grpc::CreateChannel(options->url, grpc::InsecureChannelCredentials()));
    if (options->server_pid == 0 && std::strncmp(options->url, "unix:", 5) == 0)
        options->server_pid = usage_listener(("ipc://" + std::string(options->url + 5)).c_str());
    return peer_measure(options, false, point, &client);
}

} // namespace

int main(int argc, char **argv)
{
    peer_options options;
    peer_parse(argc, argv, "grpc", "serve point", &options);
    return peer_is(&options, "serve") ? serve(options) : measure(&options);
}
