/* The key of chat_summarization_cache as an SQL function:
 * summary_csid(chat_id, topic_id, first_message_id, last_message_id, prompt), the lower-case hex
 * SHA-512 of "CHAT:TOPIC_FIRST:LAST-PROMPT", where a NULL topic is the word None: as bots have
 * always written it. */
#ifndef CHATSTORE_POOL_CSID_H
#define CHATSTORE_POOL_CSID_H

#include <sqlite3.h>

/* Returns SQLite's result of registering it on the connection. */
int csid_register(sqlite3 *db);

#endif
