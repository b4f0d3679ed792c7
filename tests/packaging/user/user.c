/* The least that needs the library: a client of a server that is not there. */
#include <chatstore/chatstore.h>
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    struct chatstore_client *client = NULL;
    if (chatstore_client_open("ipc:///nonexistent/chatstore.sock", NULL, &client) != CHATSTORE_OK) {
        fprintf(stderr, "%s\n", chatstore_client_error(NULL));
        return 1;
    }
    struct chatstore_call_options options = {.timeout_ms = 100};
    uint8_t *reply = NULL;
    size_t reply_bytes = 0;
    enum chatstore_status status =
        chatstore_client_call(client, "GetChatUser", NULL, 0, &options, &reply, &reply_bytes);
    printf("%s: %s\n", chatstore_status_name(status), chatstore_client_error(client));
    free(reply);
    chatstore_client_close(client);
    return status == CHATSTORE_OK ? 1 : 0;
}
