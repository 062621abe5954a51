// Package rosbag2 reads the recordings of ROS 2 and writes new ones.
//
// It reads sqlite3 databases of schema 1 to 4 and MCAP files, chunked or not,
// with or without an index, compressed by chunk, file or message, split or
// whole, with any metadata.yaml or none; and what is left of a recording that
// was cut off. Messages come in log-time order in bounded memory, as the bytes
// that were recorded: package cdr decodes them. It writes MCAP bags that every
// distribution from Humble on reads.
package rosbag2
