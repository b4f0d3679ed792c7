/* Reading the configuration file again, on a thread of its own: by a signal, or for the call
 * AdminService/Reload. One at a time. */
#ifndef CHATSTORE_SERVICE_RELOAD_H
#define CHATSTORE_SERVICE_RELOAD_H

#include "engine.h"

struct reload;

/* path: the file that the engine's configuration came from, which must stay; NULL: it came from
 * none that could be read again, and why_not says why. Takes the engine's reload calls over, so
 * before its first frame. Returns 0 or an errno. */
int reload_start(struct engine *engine, const char *path, const char *why_not,
                 struct reload **reload_out);

/* What else goes over to a configuration, with the engine: prepare gets ready for it, or says why
 * it cannot; after it succeeded, settle is told whether the configuration is in force now. On the
 * reload's thread. Set before the first frame. */
struct reload_hooks {
    bool (*prepare)(void *arg, const struct config *config, struct status *why);
    void (*settle)(void *arg, bool in_force);
    void *arg;
};
void reload_set_hooks(struct reload *reload, const struct reload_hooks *hooks);

/* Any thread; does not wait. While a reload is under way, another follows it. */
void reload_request(struct reload *reload);

/* A reload that is under way is ended first. After the last frame is done. */
void reload_stop(struct reload *reload);

#endif
