/* What the generated stubs (calls.c) are thin wrappers of. */
#ifndef CHATSTORE_STUBS_RUN_H
#define CHATSTORE_STUBS_RUN_H

#include <chatstore/chatstore.h>

#include "call_ids.h"

/* One blocking call. message_out: NULL, or set to the response (NULL unless CHATSTORE_OK). */
enum chatstore_status chatstore_run(struct chatstore_client *client, enum call_id id,
                                    const ProtobufCMessage *request,
                                    const struct chatstore_call_options *options,
                                    ProtobufCMessage **message_out);

/* A callback of any type; a stub's `done` turns it back into what it is. */
typedef void chatstore_any_function(void);

/* Called once with the response, whose owner it becomes. */
typedef void chatstore_run_done(chatstore_any_function *callback, enum chatstore_status status,
                                ProtobufCMessage *message, const struct chatstore_outcome *outcome,
                                void *arg);

void chatstore_run_async(struct chatstore_client *client, enum call_id id,
                         const ProtobufCMessage *request,
                         const struct chatstore_call_options *options, chatstore_run_done *done,
                         chatstore_any_function *callback, void *arg);

#endif
