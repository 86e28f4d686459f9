"""What the embedded server is told at every start: on its command line, so that no edited file says otherwise."""

HOST = "127.0.0.1"

SERVER_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "shared_buffers": "192MB",
    "max_connections": "200",
    # A run over a year touches many partitions in one transaction.
    "max_locks_per_transaction": "256",
    # Containers often offer 64 MB of /dev/shm, which one parallel hash join outgrows.
    "min_dynamic_shared_memory": "64MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    # Compiling costs more than it saves on statements of milliseconds.
    "jit": "off",
}
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
