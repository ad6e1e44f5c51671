DROP TABLE rollbacks;
DROP TABLE receivers;
DROP TABLE receipts;
