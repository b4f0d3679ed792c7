/* Whether a source's data may have changed: a connection of its own looks at SQLite's data_version,
 * which only has a meaning on one and the same connection. It is opened by the health task once
 * somebody has asked. */
#include "source_ops.h"

static bool is_current(struct source *source, uint64_t *generation_out)
{
    pthread_mutex_lock(&source->lock);
    bool up = source->state == SOURCE_UP && !source->closing;
    *generation_out = source->generation;
    pthread_mutex_unlock(&source->lock);
    return up;
}

bool source_data_version(struct source *source, uint64_t *version_out)
{
    uint64_t generation;
    uint32_t version = 0;
    if (!is_current(source, &generation))
        return false;
    pthread_mutex_lock(&source->watch_lock);
    struct connection *watcher = source->watcher;
    bool known = watcher && watcher->generation == generation &&
                 source->ops->data_version(watcher, &version);
    source->watch_wanted = true;
    pthread_mutex_unlock(&source->watch_lock);
    *version_out = generation << 32 | version;
    return known;
}

static void put_watcher(struct source *source, struct connection *watcher)
{
    pthread_mutex_lock(&source->watch_lock);
    struct connection *old = source->watcher;
    source->watcher = watcher;
    pthread_mutex_unlock(&source->watch_lock);
    if (old)
        source->ops->disconnect(old);
}

void watch_look(struct source *source)
{
    uint64_t generation;
    if (!source->watch_wanted || !is_current(source, &generation))
        return;
    pthread_mutex_lock(&source->watch_lock);
    bool is_fresh = source->watcher && source->watcher->generation == generation;
    pthread_mutex_unlock(&source->watch_lock);
    if (is_fresh)
        return;
    struct status why;
    struct connection *fresh = source->ops->connect(source, CONNECTION_READER, &why);
    if (fresh)
        fresh->generation = generation;
    put_watcher(source, fresh);
}

void watch_drop(struct source *source)
{
    put_watcher(source, NULL);
}
