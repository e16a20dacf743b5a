module workbench/ollama

go 1.24
