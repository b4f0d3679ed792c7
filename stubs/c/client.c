#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The text of this thread's last blocking call, and whose it is. */
static _Thread_local struct {
    const struct chatstore_client *client;
    char text[CLIENT_ERROR_BYTES];
} last_error;

void client_set_error(const struct chatstore_client *client, const char *text)
{
    last_error.client = client;
    snprintf(last_error.text, sizeof last_error.text, "%s", text);
}

const char *chatstore_client_error(const struct chatstore_client *client)
{
    return last_error.client == client ? last_error.text : "";
}

int64_t client_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

size_t chatstore_url_default(char *url, size_t url_bytes)
{
    const char *folder = getenv("XDG_RUNTIME_DIR");
    int length;

    if (folder != NULL && folder[0] != '\0')
        length = snprintf(url, url_bytes, "ipc://%s/chatstore.sock", folder);
    else
        length = snprintf(url, url_bytes, "ipc:///run/chatstore/chatstore.sock");
    return length < 0 ? 0 : (size_t)length;
}

/* The URL to use, as the caller's copy; NULL: out of memory. */
static char *choose_url(const char *url)
{
    char chosen[512];
    const char *environment = getenv("CHATSTORE_URL");

    if (url != NULL)
        return strdup(url);
    if (environment != NULL && environment[0] != '\0')
        return strdup(environment);
    chatstore_url_default(chosen, sizeof chosen);
    return strdup(chosen);
}

static uint32_t or_default(uint32_t value, uint32_t value_default)
{
    return value != 0 ? value : value_default;
}

/* Copy the options with every default filled in; false: out of memory. */
static bool copy_options(struct chatstore_client_options *to,
                         const struct chatstore_client_options *from)
{
    static const struct chatstore_client_options none = {0};

    *to = from != NULL ? *from : none;
    to->timeout_ms = or_default(to->timeout_ms, 30000);
    to->frames_in_flight_max = or_default(to->frames_in_flight_max, 4);
    to->calls_per_frame_max = or_default(to->calls_per_frame_max, 128);
    to->calls_in_flight_max = or_default(to->calls_in_flight_max, 1024);
    to->source_retry_ms = or_default(to->source_retry_ms, 2000);
    if (to->request_bytes_max == 0)
        to->request_bytes_max = (size_t)4 << 20;
    if (to->reply_bytes_max == 0)
        to->reply_bytes_max = (size_t)64 << 20;
    if (to->token == NULL)
        return true;
    to->token = strdup(to->token);
    return to->token != NULL;
}

static void client_free(struct chatstore_client *client)
{
    while (client->spare != NULL) {
        struct client_frame *frame = client->spare;
        client->spare = frame->next;
        free(frame->bytes);
        free(frame);
    }
    pthread_cond_destroy(&client->left);
    pthread_mutex_destroy(&client->lock);
    pthread_mutex_destroy(&client->alarm_lock);
    if (client->options.token != NULL)
        explicit_bzero((char *)client->options.token, strlen(client->options.token));
    free((char *)client->options.token);
    free(client->url);
    free(client);
}

static struct chatstore_client *client_new(const char *url,
                                           const struct chatstore_client_options *options)
{
    struct chatstore_client *client = calloc(1, sizeof *client);

    if (client == NULL)
        return NULL;
    pthread_mutex_init(&client->lock, NULL);
    pthread_mutex_init(&client->alarm_lock, NULL);
    pthread_cond_init(&client->left, NULL);
    link_init(&client->live);
    link_init(&client->queue);
    link_init(&client->resting);
    client->alarm_ms = INT64_MAX;
    client->pid = getpid();
    client->url = choose_url(url);
    if (client->url == NULL || !copy_options(&client->options, options)) {
        client_free(client);
        return NULL;
    }
    return client;
}

static enum chatstore_status open_transport(struct chatstore_client *client, char *error,
                                            size_t error_bytes)
{
    struct chatstore_transport_options options = {
        .reply_bytes_max = client->options.reply_bytes_max,
        .connect_timeout_ms = client->options.connect_timeout_ms,
        .tls_ca_file = client->options.tls_ca_file,
        .tls_cert_file = client->options.tls_cert_file,
        .tls_key_file = client->options.tls_key_file,
        .tls_server_name = client->options.tls_server_name,
        .on_alarm = client_alarm,
        .arg = client,
    };

    client->ops = transport_find(client->url, error, error_bytes);
    if (client->ops == NULL)
        return CHATSTORE_UNAVAILABLE;
    enum chatstore_status status =
        client->ops->open(client->url, &options, &client->transport, error, error_bytes);
    /* The caller's texts, read for the last time. */
    client->options.tls_ca_file = client->options.tls_cert_file = NULL;
    client->options.tls_key_file = client->options.tls_server_name = NULL;
    return status;
}

enum chatstore_status chatstore_client_open(const char *url,
                                            const struct chatstore_client_options *options,
                                            struct chatstore_client **client_out)
{
    char error[CLIENT_ERROR_BYTES] = "";
    struct chatstore_client *client = client_new(url, options);

    *client_out = NULL;
    if (client == NULL) {
        client_set_error(NULL, "out of memory");
        return CHATSTORE_RESOURCE_EXHAUSTED;
    }
    enum chatstore_status status = open_transport(client, error, sizeof error);
    client_set_error(NULL, error);
    if (status != CHATSTORE_OK) {
        client_free(client);
        return status;
    }
    *client_out = client;
    return CHATSTORE_OK;
}

static void wait_until_zero(struct chatstore_client *client, const size_t *count)
{
    pthread_mutex_lock(&client->lock);
    while (*count > 0)
        pthread_cond_wait(&client->left, &client->lock);
    pthread_mutex_unlock(&client->lock);
}

void chatstore_client_close(struct chatstore_client *client)
{
    /* In a child of fork() the transport's threads are gone: there is nothing to wait for, and
     * nothing that could be closed. */
    if (client == NULL || client->pid != getpid())
        return;
    pthread_mutex_lock(&client->lock);
    client->closing = true;
    pthread_mutex_unlock(&client->lock);

    client_fail_waiting(client);
    wait_until_zero(client, &client->submitting_count);
    client->ops->close(client->transport);
    wait_until_zero(client, &client->inside_count);
    client_free(client);
}
