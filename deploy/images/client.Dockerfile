# Client and acceptance suite (`almadia check`, `almadia verify`) with a shell. BASE is any image that has one.
ARG BASE=alpine:3.22
FROM ${BASE}
COPY almadia /usr/local/bin/almadia
USER 10001:10001
CMD ["sh"]
