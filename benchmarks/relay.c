/* The floor: a WebSocket relay with one send() per delivery. Rooms are paths; a frame goes to the others of its room.
 * It keeps, checks and merges nothing. One thread, epoll. Only for clients that do not check Sec-WebSocket-Accept.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 65536
#define BUFFER_BYTES (256 << 10)

struct room {
    char name[80];
    int *fds, count, space;
    struct room *next;
};
struct connection {
    struct room *room; /* NULL until upgraded */
    size_t have, space;
    unsigned char *data;
};

static struct room *rooms[4096];
static struct connection *connections[CONNECTIONS_MAX];
static unsigned char buffer[BUFFER_BYTES];

static struct room *room_named(const char *name) {
    uint32_t hash = 2166136261u;
    for (const char *at = name; *at; at++) hash = (hash ^ (unsigned char)*at) * 16777619u;
    struct room **slot = &rooms[hash % 4096];
    while (*slot && strcmp((*slot)->name, name)) slot = &(*slot)->next;
    if (!*slot) {
        *slot = calloc(1, sizeof **slot);
        snprintf((*slot)->name, sizeof (*slot)->name, "%s", name);
    }
    return *slot;
}

static void drop(int fd) {
    struct connection *connection = connections[fd];
    struct room *room = connection->room;
    for (int at = 0; room && at < room->count; at++)
        if (room->fds[at] == fd) {
            room->fds[at] = room->fds[--room->count];
            break;
        }
    free(connection->data);
    free(connection);
    connections[fd] = NULL;
    close(fd);
}

static void send_all(int fd, const unsigned char *data, size_t size) {
    while (size) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0) {
            data += sent, size -= sent;
        } else if (errno == EAGAIN) {
            struct pollfd wait = {fd, POLLOUT, 0};
            poll(&wait, 1, 1000);
        } else {
            return; /* its own read will see that it is gone */
        }
    }
}

/* Return how many bytes of `data` were used. */
static size_t upgrade(int fd, unsigned char *data, size_t size) {
    unsigned char *end = memmem(data, size, "\r\n\r\n", 4);
    if (!end) return 0;
    char path[80] = "/";
    *end = 0;
    sscanf((char *)data, "GET %79s", path);
    static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    struct room *room = connections[fd]->room = room_named(path);
    if (room->count == room->space) room->fds = realloc(room->fds, sizeof(int) * (room->space = room->space * 2 + 4));
    room->fds[room->count++] = fd;
    send_all(fd, (const unsigned char *)answer, sizeof answer - 1);
    return end + 4 - data;
}

static size_t relay(int fd, unsigned char *data, size_t size) {
    if (size < 6) return 0;
    size_t length = data[1] & 127, head = 2;
    if (length == 126) {
        head = 4;
        length = (size_t)data[2] << 8 | data[3];
    } else if (length == 127) {
        head = 10;
        if (size < 10) return 0;
        for (length = 0, head = 2; head < 10; head++) length = length << 8 | data[head];
    }
    if (size < head + 4 + length) return 0;
    unsigned char mask[4], *body = data + head + 4;
    memcpy(mask, data + head, 4);
    for (size_t at = 0; at < length; at++) body[at] ^= mask[at & 3];
    if (data[0] == 0x82) {
        data[1] &= 127;
        memmove(data + 4, data, head); /* the head, without its mask, right before the body */
        struct room *room = connections[fd]->room;
        for (int at = 0; at < room->count; at++)
            if (room->fds[at] != fd) send_all(room->fds[at], data + 4, head + length);
    }
    return head + 4 + length;
}

static void serve(int fd) {
    struct connection *connection = connections[fd];
    if (connection->have) memcpy(buffer, connection->data, connection->have);
    ssize_t got = recv(fd, buffer + connection->have, BUFFER_BYTES - connection->have, MSG_DONTWAIT);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN) drop(fd);
        return;
    }
    size_t have = connection->have + got, at = 0, used;
    while (at < have && (used = connection->room ? relay(fd, buffer + at, have - at) : upgrade(fd, buffer + at, have - at)))
        at += used;
    connection->have = have - at;
    if (connection->have > connection->space)
        connection->data = realloc(connection->data, connection->space = connection->have);
    if (connection->have) memcpy(connection->data, buffer + at, connection->have);
}

int main(int count, char **arguments) {
    int listening = socket(AF_INET, SOCK_STREAM, 0), poller = epoll_create1(0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(count > 1 ? atoi(arguments[1]) : 0)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listening, (struct sockaddr *)&address, sizeof address) || listen(listening, 4096)) {
        perror("relay");
        return 1;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listening}, events[512];
    epoll_ctl(poller, EPOLL_CTL_ADD, listening, &event);
    for (;;) {
        int ready = epoll_wait(poller, events, 512, -1);
        for (int at = 0; at < ready; at++) {
            int fd = events[at].data.fd;
            if (fd != listening) {
                serve(fd);
                continue;
            }
            if ((fd = accept(listening, NULL, NULL)) < 0) continue;
            if (fd >= CONNECTIONS_MAX) {
                close(fd);
                continue;
            }
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            connections[fd] = calloc(1, sizeof **connections);
            event.data.fd = fd;
            epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
        }
    }
}
