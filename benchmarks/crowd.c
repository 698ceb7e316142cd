/* A crowd of readers: it reads WebSockets that somebody else opened, counts the tokens in them and answers pings.
 *
 *   crowd TOKEN FD,FD,...
 *
 * Each line on standard input is a count; a line comes out when every socket has seen that many tokens since the start:
 * the number of frames that all have got. So light that a server with a thousand readers is what is measured.
 */
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define TOKEN_MAX 16
#define BUFFER_BYTES (256 << 10)

struct reader {
    uint64_t skip;          /* bytes left of the frame that is being read */
    uint64_t tokens;
    unsigned char head[10]; /* of the next frame, as far as it came */
    int head_bytes;
    char tail[TOKEN_MAX];   /* the last bytes read: a token may be cut in two */
    size_t tail_bytes;
};

static char space[TOKEN_MAX + BUFFER_BYTES];
static uint64_t frames;

static void count_tokens(struct reader *reader, char *data, size_t size, const char *token, size_t length) {
    char *at = data - reader->tail_bytes, *end = data + size, *found;
    memcpy(at, reader->tail, reader->tail_bytes);
    char *start = at;
    while ((found = memmem(at, end - at, token, length))) {
        reader->tokens++;
        at = found + length;
    }
    size_t rest = end - at;
    if (rest > length - 1) rest = length - 1;
    if (rest > (size_t)(end - start)) rest = end - start;
    memcpy(reader->tail, end - rest, rest);
    reader->tail_bytes = rest;
}

static void count_frames(struct reader *reader, int fd, const unsigned char *data, size_t size) {
    static const unsigned char pong[6] = {0x8a, 0x80};
    size_t at = 0;
    while (at < size) {
        if (reader->skip) {
            uint64_t step = reader->skip < size - at ? reader->skip : size - at;
            reader->skip -= step;
            at += step;
            continue;
        }
        reader->head[reader->head_bytes++] = data[at++];
        if (reader->head_bytes < 2) continue;
        int length = reader->head[1] & 127, need = 2 + (length == 126 ? 2 : length == 127 ? 8 : 0);
        if (reader->head_bytes < need) continue;
        reader->skip = need == 2 ? (uint64_t)length : 0;
        for (int byte = 2; byte < need; byte++) reader->skip = reader->skip << 8 | reader->head[byte];
        reader->head_bytes = 0;
        frames++;
        if (reader->head[0] == 0x89) send(fd, pong, sizeof pong, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
}

int main(int count, char **arguments) {
    if (count != 3 || strlen(arguments[1]) > TOKEN_MAX) return 2;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    struct reader *readers = calloc(files.rlim_cur < 65536 ? 65536 : files.rlim_cur, sizeof *readers);
    size_t length = strlen(arguments[1]);
    int poller = epoll_create1(0), fds[65536], size = 0;
    struct epoll_event event = {.events = EPOLLIN}, events[512];
    for (char *word = strtok(arguments[2], ","); word; word = strtok(NULL, ",")) {
        event.data.fd = fds[size++] = atoi(word);
        if (epoll_ctl(poller, EPOLL_CTL_ADD, event.data.fd, &event)) {
            perror("crowd");
            return 1;
        }
    }
    event.data.fd = STDIN_FILENO;
    epoll_ctl(poller, EPOLL_CTL_ADD, STDIN_FILENO, &event);
    uint64_t wanted = 0;
    int missing = 0; /* sockets below `wanted` */
    for (;;) {
        int ready = epoll_wait(poller, events, 512, -1);
        for (int at = 0; at < ready; at++) {
            int fd = events[at].data.fd;
            if (fd == STDIN_FILENO) {
                char line[32] = "";
                if (read(STDIN_FILENO, line, sizeof line - 1) <= 0) return 0;
                wanted = strtoull(line, NULL, 10);
                missing = 0;
                for (int each = 0; each < size; each++) missing += readers[fds[each]].tokens < wanted;
            } else {
                ssize_t got = recv(fd, space + TOKEN_MAX, BUFFER_BYTES, MSG_DONTWAIT);
                if (got <= 0) {
                    if (got < 0 && errno == EAGAIN) continue;
                    fprintf(stderr, "a reader lost its connection\n");
                    return 1;
                }
                struct reader *reader = &readers[fd];
                uint64_t before = reader->tokens;
                count_tokens(reader, space + TOKEN_MAX, got, arguments[1], length);
                count_frames(reader, fd, (unsigned char *)space + TOKEN_MAX, got);
                missing -= before < wanted && reader->tokens >= wanted;
                if (!wanted) continue;
            }
            if (wanted && !missing) {
                printf("%llu\n", (unsigned long long)frames);
                fflush(stdout);
                wanted = 0;
            }
        }
    }
}
