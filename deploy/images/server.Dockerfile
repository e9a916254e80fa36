# The server: one static program in an empty image. Works with a read-only root; only the volume is written to.
# Built by scripts/build-push.sh in a directory that holds `almadia` and the empty directory `data`.
# Another base is for tests with a program that is linked dynamically.
ARG BASE=scratch
FROM ${BASE}
COPY almadia /usr/local/bin/almadia
# A named volume takes its owner from here; Kubernetes sets it by fsGroup.
COPY --chown=10001:10001 data /var/lib/almadia
USER 10001:10001
WORKDIR /var/lib/almadia
EXPOSE 2379 2380 2381
ENTRYPOINT ["/usr/local/bin/almadia"]
CMD ["server"]
